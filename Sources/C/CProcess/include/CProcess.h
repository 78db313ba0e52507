// Umbrella header: what Swift cannot express safely about processes and descriptors.
#pragma once

#include "process.h"

#if __has_include("descriptors.h")
#include "descriptors.h"
#endif
