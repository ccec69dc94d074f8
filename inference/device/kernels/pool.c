//go:build linux && amd64

#define _GNU_SOURCE
#include "pool.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// The threads that help with products, those of the process. A product is often shorter than
// it takes to wake a thread, and the next one begins soon: who has finished one looks out
// for another a while before it sleeps, and lets other threads have the processor
// meanwhile.

enum {
  HELPERS = 255,
  LOOKOUT = 50 * 1000 // nanoseconds
};

typedef struct {
  int64_t next, count;
  void (*work)(void *arg, int64_t item);
  void *arg;
  unsigned rounding; // and what is done about tiny numbers, as the owner's thread has it
} job;

// A helper's job is given to it by who has one, and 0 after. The lowest bit tells that it has
// begun; until then the job can be taken back.
typedef struct {
  _Alignas(64) uintptr_t job;
  int asleep;
} helper;

static helper helpers[HELPERS];
static int hired; // read without the lock, for it only grows
static pthread_mutex_t hiring = PTHREAD_MUTEX_INITIALIZER;

void lorikeet_alone(lorikeet_pool *pool, int64_t count, void (*work)(void *arg, int64_t item), void *arg) {
  (void)pool;
  for (int64_t i = 0; i < count; i++) work(arg, i);
}

static void take(job *j) {
  for (;;) {
    int64_t item = __atomic_fetch_add(&j->next, 1, __ATOMIC_ACQ_REL);
    if (item >= j->count) return;
    j->work(j->arg, item);
  }
}

static int64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// await waits for a job: awake at first.
static uintptr_t await(helper *h) {
  uintptr_t given;
  for (int64_t end = nanoseconds() + LOOKOUT; nanoseconds() < end; sched_yield())
    for (int i = 0; i < 100; i++) {
      if ((given = __atomic_load_n(&h->job, __ATOMIC_ACQUIRE)) != 0) return given;
      __builtin_ia32_pause();
    }
  __atomic_store_n(&h->asleep, 1, __ATOMIC_SEQ_CST);
  while ((given = __atomic_load_n(&h->job, __ATOMIC_SEQ_CST)) == 0 && __atomic_load_n(&h->asleep, __ATOMIC_SEQ_CST)) syscall(SYS_futex, &h->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
  __atomic_store_n(&h->asleep, 0, __ATOMIC_SEQ_CST);
  return given; // 0 where it was taken back
}

static void *help(void *arg) {
  helper *h = arg;
  for (;;) {
    uintptr_t given = await(h);
    if (given == 0 || !__atomic_compare_exchange_n(&h->job, &given, given | 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
    _mm_setcsr(((job *)given)->rounding);
    take((job *)given);
    __atomic_store_n(&h->job, 0, __ATOMIC_RELEASE);
  }
  return NULL;
}

// hire makes threads until there are so many. They take no signals but the profiler's: the
// others are for the program's own.
static void hire(int threads) {
  if (threads > HELPERS) threads = HELPERS;
  if (__atomic_load_n(&hired, __ATOMIC_ACQUIRE) >= threads) return;
  pthread_mutex_lock(&hiring);
  sigset_t every, before;
  sigfillset(&every);
  sigdelset(&every, SIGPROF);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  for (int i = hired; i < threads; i++) {
    pthread_t t;
    if (pthread_create(&t, NULL, help, &helpers[i]) != 0) break; // fewer do
    pthread_detach(t);
    __atomic_store_n(&hired, i + 1, __ATOMIC_RELEASE);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_mutex_unlock(&hiring);
}

// give has a helper do a job, if it has none.
static int give(helper *h, job *j) {
  uintptr_t none = 0;
  if (!__atomic_compare_exchange_n(&h->job, &none, (uintptr_t)j, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) return 0;
  if (__atomic_exchange_n(&h->asleep, 0, __ATOMIC_SEQ_CST)) syscall(SYS_futex, &h->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  return 1;
}

// collect takes a job back from a helper that has not begun it, and waits for one that has.
static void collect(helper *h, job *j) {
  uintptr_t given = (uintptr_t)j;
  if (__atomic_compare_exchange_n(&h->job, &given, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return;
  for (int spins = 0; __atomic_load_n(&h->job, __ATOMIC_ACQUIRE) == ((uintptr_t)j | 1); spins++) {
    if (spins < 2000) {
      __builtin_ia32_pause();
    } else {
      sched_yield();
    }
  }
}

static void run(lorikeet_pool *pool, int64_t count, void (*work)(void *arg, int64_t item), void *arg) {
  int wanted = (int)(pool->threads < count ? pool->threads : count) - 1;
  if (wanted < 1) {
    lorikeet_alone(pool, count, work, arg);
    return;
  }
  hire(pool->threads - 1);
  job j = {.count = count, .work = work, .arg = arg, .rounding = _mm_getcsr()};
  int ready = __atomic_load_n(&hired, __ATOMIC_ACQUIRE), last = 0;
  uint64_t mine[HELPERS / 64 + 1] = {0};
  for (int given = 0; last < ready && given < wanted; last++)
    if (give(&helpers[last], &j)) {
      mine[last / 64] |= (uint64_t)1 << last % 64;
      given++;
    }
  take(&j);
  for (int i = 0; i < last; i++)
    if (mine[i / 64] >> i % 64 & 1) collect(&helpers[i], &j);
}

// processors counts those that this process may use.
static int processors(void) {
  static int known;
  int n = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (n == 0) {
    cpu_set_t set;
    n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    __atomic_store_n(&known, n, __ATOMIC_RELAXED);
  }
  return n;
}

lorikeet_pool lorikeet_shared_pool(int threads) { return (lorikeet_pool){run, threads < processors() ? threads : processors()}; }
