// POSIX threads: every kind of lock, conditions, barriers, thread-local storage, cancellation, once, semaphores, C11 threads.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define N 6
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_long atomic_sum;
static long plain_sum, spin_sum, readers_saw, destroyed;
static __thread long local = 7;
static _Thread_local char big_local[3000];

static void initialise(void) { printf("once\n"); }
static void destroy(void *value) { __atomic_add_fetch(&destroyed, (long)value, __ATOMIC_SEQ_CST); }

static void *work(void *argument) {
  long id = (long)argument;
  pthread_once(&once, initialise);
  pthread_setspecific(key, (void *)(id + 1));
  for (int i = 0; i < 3000; i++) {
    local += id;
    big_local[i] = (char)id;
    atomic_fetch_add(&atomic_sum, i);
    if (i % 10 == 0) {
      pthread_mutex_lock(&mutex);
      plain_sum += i;
      if (i % 500 == 0) sched_yield();
      pthread_mutex_unlock(&mutex);
      pthread_spin_lock(&spin);
      spin_sum++;
      pthread_spin_unlock(&spin);
      if (i % 100 == 0) {
        pthread_rwlock_wrlock(&rw);
        readers_saw++;
        pthread_rwlock_unlock(&rw);
      } else {
        pthread_rwlock_rdlock(&rw);
        if (readers_saw < 0) abort();
        pthread_rwlock_unlock(&rw);
      }
    }
  }
  int serial = pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
  for (int i = 0; i < 3000; i++) if (big_local[i] != (char)id) abort();
  return (void *)(local * 2 + (serial ? 1 : 0));
}

static int turn;
static void *take_turns(void *argument) {
  int id = (int)(long)argument;
  for (int round = 0; round < 3; round++) {
    pthread_mutex_lock(&mutex);
    while (turn % N != id) pthread_cond_wait(&changed, &mutex);
    printf("%d ", id);
    turn++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void cleanup(void *text) { printf("cleanup %s\n", (char *)text); }
static sem_t ready;
static void *waits(void *how) {
  pthread_cleanup_push(cleanup, how);
  if (how == (void *)NULL) return NULL;
  sem_post(&ready);
  if (*(char *)how == 'p') for (;;) pause();
  if (*(char *)how == 'r') { char c; int ends[2]; if (pipe(ends) == 0 && read(ends[0], &c, 1)) abort(); }
  if (*(char *)how == 'a') { pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL); for (volatile long n = 0;; n++) ; }
  if (*(char *)how == 'd') { int old; pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old); for (int i = 0; i < 100; i++) sched_yield(); pthread_setcancelstate(old, NULL); for (;;) pthread_testcancel(); }
  if (*(char *)how == 'c') { pthread_mutex_lock(&mutex); pthread_cleanup_push((void (*)(void *))pthread_mutex_unlock, &mutex); for (;;) pthread_cond_wait(&changed, &mutex); pthread_cleanup_pop(1); }
  pthread_cleanup_pop(0);
  return NULL;
}

static int c11(void *argument) { return *(int *)argument * 2; }
static void *exits(void *unused) { (void)unused; pthread_exit((void *)99); }

struct shared { pthread_mutex_t robust; pthread_cond_t changed; int state; };

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  pthread_t threads[N];
  pthread_barrier_init(&barrier, NULL, N);
  pthread_spin_init(&spin, 0);
  pthread_key_create(&key, destroy);
  for (long i = 0; i < N; i++) pthread_create(&threads[i], NULL, work, (void *)i);
  long total = 0;
  for (int i = 0; i < N; i++) {
    void *result;
    pthread_join(threads[i], &result);
    total += (long)result;
  }
  printf("total %ld atomic %ld plain %ld spin %ld writers %ld destroyed %ld local %ld\n", total, atomic_load(&atomic_sum), plain_sum, spin_sum, readers_saw, destroyed, local);
  for (long i = 0; i < N; i++) pthread_create(&threads[i], NULL, take_turns, (void *)i);
  for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
  printf("\n");

  sem_init(&ready, 0, 0);
  char *ways[] = {"pause", "read", "async", "disabled", "condition"};
  for (int i = 0; i < 5; i++) {
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, waits, ways[i]);
    sem_wait(&ready);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("cancelled: %d\n", result == PTHREAD_CANCELED);
  }
  printf("the mutex is free: %d\n", pthread_mutex_trylock(&mutex) == 0);
  pthread_mutex_unlock(&mutex);

  pthread_mutexattr_t attributes;
  const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
  for (int i = 1; i < 3; i++) {
    pthread_mutex_t other;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, types[i]);
    pthread_mutex_init(&other, &attributes);
    int first = pthread_mutex_lock(&other), second = pthread_mutex_lock(&other), one = pthread_mutex_unlock(&other), two = pthread_mutex_unlock(&other);
    printf("type %d: %d %d %d %d\n", i, first, second, one, two);
  }
  struct timespec soon;
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_nsec += 2000000;
  if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
  pthread_mutex_lock(&mutex);
  printf("timed wait %d, timed lock %d, sem %d\n", pthread_cond_timedwait(&changed, &mutex, &soon) == ETIMEDOUT, pthread_mutex_timedlock(&mutex, &soon) == ETIMEDOUT, sem_timedwait(&ready, &soon) == -1 && errno == ETIMEDOUT);
  pthread_mutex_unlock(&mutex);

  // Between processes: a robust mutex whose owner dies.
  struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->robust, &attributes);
  fflush(stdout);
  if (fork() == 0) {
    pthread_mutex_lock(&shared->robust);
    shared->state = 5;
    _exit(0);
  }
  wait(NULL);
  int died = pthread_mutex_lock(&shared->robust);
  printf("the owner died: %d, state %d, consistent %d\n", died == EOWNERDEAD, shared->state, pthread_mutex_consistent(&shared->robust));
  pthread_mutex_unlock(&shared->robust);

  thrd_t thread;
  int number = 21, result;
  thrd_create(&thread, c11, &number);
  thrd_join(thread, &result);
  pthread_t exiting;
  void *value;
  pthread_create(&exiting, NULL, exits, NULL);
  pthread_join(exiting, &value);
  printf("%d %ld %d\n", result, (long)value, pthread_equal(pthread_self(), pthread_self()) != 0);
  pthread_attr_t self;
  void *stack;
  size_t size;
  pthread_getattr_np(pthread_self(), &self);
  pthread_attr_getstack(&self, &stack, &size);
  char here;
  printf("within its stack %d\n", &here > (char *)stack && &here < (char *)stack + size);
  return 0;
}
