// Guessing a character encoding (uchardet) and converting from it (iconv, part of glibc, in no Swift module of its own).
#pragma once
#include <iconv.h>
#include <uchardet/uchardet.h>
