#include "acp_wire.h"

#include <pthread.h>
#include <stdlib.h>

#define FIRST_BLOCK_BYTES (64 * 1024)
#define NEXT_BLOCK_BYTES (256 * 1024)

struct acp_block {
    acp_block *previous;
    size_t capacity;        // a multiple of 8
    size_t taken_before;    // the arena's count when this block was begun
    _Alignas(8) uint8_t data[];
};

static pthread_key_t arena_key;
static pthread_once_t arena_key_once = PTHREAD_ONCE_INIT;
static _Thread_local acp_arena *thread_arena;

static void destroy_arena(void *pointer) {
    acp_arena *arena = pointer;
    acp_block *current = arena->current;
    while (current != NULL) {
        acp_block *previous = current->previous;
        free(current);
        current = previous;
    }
    free(arena->spare);
    free(arena);
}

static void make_arena_key(void) { pthread_key_create(&arena_key, destroy_arena); }

static acp_block *make_block(size_t capacity) {
    acp_block *made = malloc(sizeof(acp_block) + capacity);
    if (made != NULL) made->capacity = capacity;
    return made;
}

// Makes `block` the current one.
static void enter(acp_arena *arena, acp_block *block) {
    block->previous = arena->current;
    block->taken_before = arena->taken_before;
    arena->current = block;
    arena->start = arena->free = block->data;
    arena->end = block->data + block->capacity;
}

acp_arena *acp_arena_of_thread(void) {
    if (thread_arena != NULL) return thread_arena;
    pthread_once(&arena_key_once, make_arena_key);
    acp_arena *arena = calloc(1, sizeof(acp_arena));
    if (arena == NULL) return NULL;
    acp_block *first = make_block(FIRST_BLOCK_BYTES);
    if (first == NULL) {
        free(arena);
        return NULL;
    }
    enter(arena, first);
    pthread_setspecific(arena_key, arena);
    thread_arena = arena;
    return arena;
}

void *acp_arena_take_of_next_block(acp_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t rounded = (bytes + 7) & ~(size_t)7;
    acp_block *next = arena->spare;
    if (next != NULL && rounded <= next->capacity) arena->spare = NULL;
    else next = make_block(rounded > NEXT_BLOCK_BYTES ? rounded : NEXT_BLOCK_BYTES);
    if (next == NULL) return NULL;
    size_t taken = acp_arena_save(arena).taken;
    enter(arena, next);
    arena->taken_before = taken;
    arena->free += rounded;
    return next->data;
}

void acp_arena_drop_blocks(acp_arena *arena, acp_arena_mark mark) {
    while (arena->current != mark.block) {
        acp_block *dropped = arena->current;
        arena->current = dropped->previous;
        arena->taken_before = dropped->taken_before;
        if (arena->spare == NULL && dropped->capacity == NEXT_BLOCK_BYTES) arena->spare = dropped;
        else free(dropped);
    }
    arena->start = arena->current->data;
    arena->end = arena->start + arena->current->capacity;
}
