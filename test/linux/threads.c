// Threads: the C library's synchronisation and the futex operations under it.
#include "check.h"
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

static struct timespec from_now(clockid_t clock, int ms) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += ms / 1000;
  time.tv_nsec += ms % 1000 * 1000000L;
  if (time.tv_nsec >= 1000000000) {
    time.tv_sec++;
    time.tv_nsec -= 1000000000;
  }
  return time;
}

static long elapsed_ms(struct timespec since) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (now.tv_sec - since.tv_sec) * 1000 + (now.tv_nsec - since.tv_nsec) / 1000000;
}

static struct timespec now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time;
}

static pthread_t start(void *(*body)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, 0, body, argument) != 0) abort();
  return thread;
}

static void *join(pthread_t thread) {
  void *result;
  pthread_join(thread, &result);
  return result;
}

// --- mutexes

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void *count(void *unused) {
  for (int i = 0; i < 2000; i++) {
    pthread_mutex_lock(&lock);
    long seen = counter;
    if (i % 50 == 0) sched_yield();
    counter = seen + 1;
    pthread_mutex_unlock(&lock);
  }
  return unused;
}

static void *try_locks(void *mutex) {
  struct timespec until = from_now(CLOCK_REALTIME, 10);
  show_error(pthread_mutex_trylock(mutex));
  show_error(pthread_mutex_timedlock(mutex, &until));
  until = from_now(CLOCK_MONOTONIC, 10);
  show_error(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until));
  show_error(pthread_mutex_unlock(mutex));
  return 0;
}

static void mutexes(void) {
  section("mutexes");
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(count, 0);
  for (int i = 0; i < 4; i++) join(threads[i]);
  printf("counted to %ld\n", counter);
  pthread_mutexattr_t attributes;
  pthread_mutex_t mutex;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&mutex, &attributes);
  show_error(pthread_mutex_lock(&mutex));
  show_error(pthread_mutex_lock(&mutex));
  join(start(try_locks, &mutex));
  show_error(pthread_mutex_unlock(&mutex));
  show_error(pthread_mutex_unlock(&mutex));
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&mutex, &attributes);
  show_error(pthread_mutex_lock(&mutex));
  show_error(pthread_mutex_lock(&mutex));
  show_error(pthread_mutex_unlock(&mutex));
  show_error(pthread_mutex_unlock(&mutex));
  show_error(pthread_mutex_unlock(&mutex));
}

static pthread_mutex_t robust;

static void *die_with_lock(void *unused) {
  pthread_mutex_lock(&robust);
  return unused;
}

static void *lock_after_death(void *unused) {
  int error = pthread_mutex_lock(&robust);
  report_error("woken", error);
  if (error == EOWNERDEAD) {
    pthread_mutex_consistent(&robust);
    pthread_mutex_unlock(&robust);
  }
  return unused;
}

static void *die_slowly(void *unused) {
  pthread_mutex_lock(&robust);
  sleep_ms(10);
  return unused;
}

static void robust_mutexes(void) {
  section("robust mutexes");
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  join(start(die_with_lock, 0));
  show_error(pthread_mutex_lock(&robust));
  show_error(pthread_mutex_consistent(&robust));
  show_error(pthread_mutex_unlock(&robust));
  pthread_t dying = start(die_slowly, 0);
  while (pthread_mutex_trylock(&robust) == 0) {
    pthread_mutex_unlock(&robust);
    sched_yield();
  }
  pthread_t waiting = start(lock_after_death, 0);
  join(dying);
  join(waiting);
  join(start(die_with_lock, 0));
  show_error(pthread_mutex_lock(&robust));
  show_error(pthread_mutex_unlock(&robust));
  show_error(pthread_mutex_lock(&robust));
}

// --- condition variables, barriers, read-write locks, semaphores

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn, woken;

static void *take_turns(void *number) {
  for (int round = 0; round < 50; round++) {
    pthread_mutex_lock(&lock);
    while (turn % 4 != (long)number) pthread_cond_wait(&condition, &lock);
    turn++;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&lock);
  }
  return 0;
}

static void *wait_once(void *unused) {
  pthread_mutex_lock(&lock);
  woken--;
  pthread_cond_wait(&condition, &lock);
  woken++;
  pthread_mutex_unlock(&lock);
  return unused;
}

static pthread_barrier_t barrier;

static void *meet(void *unused) {
  long serial = 0;
  for (int i = 0; i < 20; i++) serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
  (void)unused;
  return (void *)serial;
}

static pthread_rwlock_t readers = PTHREAD_RWLOCK_INITIALIZER;
static long first_half, second_half;
static atomic_long mismatches;

static void *read_halves(void *unused) {
  for (int i = 0; i < 500; i++) {
    pthread_rwlock_rdlock(&readers);
    if (first_half != second_half) mismatches++;
    pthread_rwlock_unlock(&readers);
  }
  return unused;
}

static void *write_halves(void *unused) {
  for (int i = 0; i < 300; i++) {
    pthread_rwlock_wrlock(&readers);
    first_half++;
    if (i % 30 == 0) sched_yield();
    second_half++;
    pthread_rwlock_unlock(&readers);
  }
  return unused;
}

static sem_t items, room;
static int buffer[4], sum_taken;

static void *produce(void *unused) {
  for (int i = 0; i < 200; i++) {
    sem_wait(&room);
    buffer[i % 4] = i;
    sem_post(&items);
  }
  return unused;
}

static void *consume(void *unused) {
  for (int i = 0; i < 200; i++) {
    sem_wait(&items);
    sum_taken += buffer[i % 4];
    sem_post(&room);
  }
  return unused;
}

static void *hold_write_lock(void *unused) {
  pthread_rwlock_wrlock(&readers);
  sleep_ms(20);
  pthread_rwlock_unlock(&readers);
  return unused;
}

static void others(void) {
  section("condition variables");
  pthread_t threads[4];
  for (long i = 0; i < 4; i++) threads[i] = start(take_turns, (void *)i);
  for (int i = 0; i < 4; i++) join(threads[i]);
  printf("turns: %d\n", turn);
  for (int i = 0; i < 3; i++) threads[i] = start(wait_once, 0);
  for (;;) {
    pthread_mutex_lock(&lock);
    if (woken == -3) break;
    pthread_mutex_unlock(&lock);
    sched_yield();
  }
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&lock);
  for (;;) {
    pthread_mutex_lock(&lock);
    if (woken > -3) break;
    pthread_mutex_unlock(&lock);
    sched_yield();
  }
  printf("signal wakes one: %d\n", woken == -2);
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < 3; i++) join(threads[i]);
  printf("broadcast the others: %d\n", woken == 0);
  struct timespec began = now(), until = from_now(CLOCK_REALTIME, 15);
  pthread_mutex_lock(&lock);
  show_error(pthread_cond_timedwait(&condition, &lock, &until));
  printf("after its time: %d\n", elapsed_ms(began) >= 14);
  until = from_now(CLOCK_MONOTONIC, 15);
  show_error(pthread_cond_clockwait(&condition, &lock, CLOCK_MONOTONIC, &until));
  until.tv_sec -= 10;
  show_error(pthread_cond_clockwait(&condition, &lock, CLOCK_MONOTONIC, &until));
  until.tv_nsec = -1;
  show_error(pthread_cond_timedwait(&condition, &lock, &until));
  pthread_mutex_unlock(&lock);

  section("barrier, read-write lock, semaphore");
  pthread_barrier_init(&barrier, 0, 4);
  for (int i = 0; i < 4; i++) threads[i] = start(meet, 0);
  long serial = 0;
  for (int i = 0; i < 4; i++) serial += (long)join(threads[i]);
  printf("one serial thread each time: %ld\n", serial);
  for (int i = 0; i < 4; i++) threads[i] = start(i < 2 ? write_halves : read_halves, 0);
  for (int i = 0; i < 4; i++) join(threads[i]);
  printf("halves %ld %ld, mismatches %ld\n", first_half, second_half, mismatches);
  pthread_t holder = start(hold_write_lock, 0);
  while (pthread_rwlock_tryrdlock(&readers) == 0) {
    pthread_rwlock_unlock(&readers);
    sched_yield();
  }
  until = from_now(CLOCK_REALTIME, 1);
  show_error(pthread_rwlock_timedrdlock(&readers, &until));
  show_error(pthread_rwlock_trywrlock(&readers));
  join(holder);
  show_error(pthread_rwlock_trywrlock(&readers));
  show_error(pthread_rwlock_wrlock(&readers));
  show_error(pthread_rwlock_unlock(&readers));
  sem_init(&items, 0, 0);
  sem_init(&room, 0, 4);
  threads[0] = start(produce, 0);
  threads[1] = start(consume, 0);
  join(threads[0]);
  join(threads[1]);
  printf("taken: %d\n", sum_taken);
  until = from_now(CLOCK_REALTIME, 5);
  show(sem_timedwait(&items, &until));
  show(sem_trywait(&items));
  int value;
  sem_getvalue(&room, &value);
  printf("room: %d\n", value);
}

// --- thread-local storage, once, keys, attributes

static __thread int mine = 7;
static __thread char aligned[64] __attribute__((aligned(64)));
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int onces, destroyed;

static void run_once(void) { onces++; }
static void destroy(void *value) { destroyed += (long)value; }

static void *use_local(void *number) {
  pthread_once(&once, run_once);
  mine += (long)number;
  sched_yield();
  pthread_setspecific(key, number);
  return (void *)(long)(mine + ((uintptr_t)aligned % 64 != 0) * 1000);
}

static void *say_stack(void *unused) {
  pthread_attr_t attributes;
  size_t size, guard;
  void *low;
  char here;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_getguardsize(&attributes, &guard);
  printf("stack of %zu KiB with a guard of %zu, here within: %d\n", size / 1024, guard,
         &here > (char *)low && &here < (char *)low + size);
  return unused;
}

static void recurse(int depth) {
  char frame[4096];
  __asm__ volatile("" ::"r"(frame) : "memory");
  recurse(depth + 1);
  __asm__ volatile("" ::"r"(frame) : "memory");
}

static void *overflow(void *unused) {
  recurse(0);
  return unused;
}

static void overflow_thread(void) { join(start(overflow, 0)); }

static void local(void) {
  section("thread-local storage");
  pthread_key_create(&key, destroy);
  pthread_t threads[5];
  for (long i = 0; i < 5; i++) threads[i] = start(use_local, (void *)(i + 1));
  for (int i = 0; i < 5; i++) printf("%ld ", (long)join(threads[i]));
  printf("mine %d, once %d, destroyed %d\n", mine, onces, destroyed);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_t thread;
  pthread_create(&thread, &attributes, say_stack, 0);
  join(thread);
  in_child("a thread's stack overflows", overflow_thread);
  pthread_attr_setstacksize(&attributes, 1ul << 46);
  show_error(pthread_create(&thread, &attributes, say_stack, 0));
}

// --- ends

static sem_t go;

static void clean(void *text) { printf("cleaned up: %s\n", (char *)text); }

static void *cancelled_in_wait(void *unused) {
  pthread_cleanup_push(clean, "in a wait");
  for (;;) pause();
  pthread_cleanup_pop(0);
  return unused;
}

static void unlock(void *mutex) { pthread_mutex_unlock(mutex); }

static void *cancelled_in_condition(void *unused) {
  pthread_mutex_lock(&lock);
  pthread_cleanup_push(unlock, &lock);
  sem_post(&go);
  pthread_cond_wait(&condition, &lock);
  pthread_cleanup_pop(1);
  return unused;
}

static void *cancelled_any_time(void *unused) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
  sem_post(&go);
  for (;;) {
  }
  return unused;
}

static void *cancelled_later(void *unused) {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, 0);
  sem_post(&go);
  sleep_ms(5);
  printf("not yet\n");
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, 0);
  pthread_testcancel();
  printf("never\n");
  return unused;
}

static void *leave(void *value) {
  pthread_cleanup_push(clean, "pthread_exit");
  pthread_exit(value);
  pthread_cleanup_pop(0);
}

static void *sleep_a_bit(void *unused) {
  sleep_ms(20);
  return unused;
}

static void *end_the_process(void *unused) {
  sleep_ms(5);
  printf("the first thread has left\n");
  return unused;
}

static void leave_first(void) {
  pthread_detach(start(end_the_process, 0));
  pthread_exit(0);
}

static void *nothing(void *argument) { return argument; }

static void cancel(const char *what, void *(*body)(void *), int waits) {
  pthread_t thread = start(body, 0);
  if (waits) sem_wait(&go);
  pthread_cancel(thread);
  printf("%s: %s\n", what, join(thread) == PTHREAD_CANCELED ? "cancelled" : "returned");
}

static void ends(void) {
  section("cancellation and exit");
  sem_init(&go, 0, 0);
  cancel("pause", cancelled_in_wait, 0);
  cancel("condition", cancelled_in_condition, 1);
  show_error(pthread_mutex_trylock(&lock));
  pthread_mutex_unlock(&lock);
  cancel("asynchronous", cancelled_any_time, 1);
  cancel("disabled for a while", cancelled_later, 1);
  printf("%ld\n", (long)join(start(leave, (void *)55)));
  pthread_t slow = start(sleep_a_bit, 0);
  show_error(pthread_tryjoin_np(slow, 0));
  struct timespec until = from_now(CLOCK_REALTIME, 1);
  show_error(pthread_timedjoin_np(slow, 0, &until));
  show_error(pthread_join(slow, 0));
  show_error(pthread_join(pthread_self(), 0));
  in_child("the first thread leaves", leave_first);
  long sum = 0;
  for (int round = 0; round < 4; round++) {
    pthread_t threads[40];
    for (long i = 0; i < 40; i++) threads[i] = start(nothing, (void *)i);
    for (int i = 0; i < 40; i++) sum += (long)join(threads[i]);
  }
  printf("160 threads: %ld\n", sum);
}

// --- futex(2) itself

static uint32_t words[4];
static atomic_int waiting_at[4];

static long futex(uint32_t *address, int operation, uint32_t value, const void *timeout, uint32_t *second, uint32_t third) {
  return syscall(SYS_futex, address, operation, value, timeout, second, third);
}

typedef struct {
  int word;
  uint32_t bitset;
  pid_t tid;
  long result;
} Waiter;

static void *wait_at(void *argument) {
  Waiter *waiter = argument;
  waiter->tid = gettid();
  waiting_at[waiter->word]++;
  waiter->result = futex(&words[waiter->word], FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, 0, 0, waiter->bitset);
  return 0;
}

static void start_waiters(Waiter *waiters, pthread_t *threads, int number) {
  for (int i = 0; i < number; i++) {
    threads[i] = start(wait_at, &waiters[i]);
    while (waiters[i].tid == 0) sched_yield();
    wait_for_state(getpid(), *(volatile pid_t *)&waiters[i].tid, "S");
  }
}

static void futexes(void) {
  section("futex");
  struct timespec none = {0, 0}, little = {0, 3000000}, wrong = {0, -1}, past = {1, 0};
  words[0] = 1;
  show(futex(&words[0], FUTEX_WAIT, 0, 0, 0, 0));
  show(futex(&words[0], FUTEX_WAIT, 1, &none, 0, 0));
  show(futex(&words[0], FUTEX_WAIT, 1, &little, 0, 0));
  show(futex(&words[0], FUTEX_WAIT, 1, &wrong, 0, 0));
  show(futex(&words[0], FUTEX_WAIT, 1, BAD, 0, 0));
  show(futex(&words[0], FUTEX_WAIT_BITSET, 1, &past, 0, 1));
  show(futex(&words[0], FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &past, 0, 1));
  show(futex(&words[0], FUTEX_WAIT_BITSET, 1, 0, 0, 0));
  show(futex(&words[0], FUTEX_WAKE_BITSET, 1, 0, 0, 0));
  show(futex(BAD, FUTEX_WAIT, 0, 0, 0, 0));
  show(futex(FAR, FUTEX_WAIT, 0, 0, 0, 0));
  show(futex((uint32_t *)((char *)words + 1), FUTEX_WAIT, 0, 0, 0, 0));
  show(futex((uint32_t *)((char *)words + 2), FUTEX_WAKE, 1, 0, 0, 0));
  show(futex(&words[0], FUTEX_WAKE, 1, 0, 0, 0));
  show(futex(BAD, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0));
  show(futex(BAD, FUTEX_WAKE, 1, 0, 0, 0));
  show(futex(&words[0], 77, 1, 0, 0, 0));
  show(futex(&words[0], FUTEX_REQUEUE, -1, 0, &words[1], 0));
  show(futex(&words[0], FUTEX_CMP_REQUEUE, 1, (void *)1, &words[1], 0));
  show(futex(&words[0], FUTEX_CMP_REQUEUE, 1, (void *)1, &words[1], 1));
  words[0] = 0;

  Waiter five[5] = {{0, 1, 0, 9}, {0, 2, 0, 9}, {0, 1, 0, 9}, {0, 4, 0, 9}, {0, ~0u, 0, 9}};
  pthread_t threads[5];
  start_waiters(five, threads, 5);
  show(futex(&words[0], FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 10, 0, 0, 2));
  join(threads[1]);
  join(threads[4]);
  show(futex(&words[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0));
  join(threads[0]);
  printf("the first that came: %ld\n", five[0].result);
  show(futex(&words[0], FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 0, (void *)10, &words[1], 0));
  show(futex(&words[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 10, 0, 0, 0));
  show(futex(&words[1], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 10, 0, 0, 0));
  join(threads[2]);
  join(threads[3]);

  Waiter two[2] = {{2, ~0u, 0, 9}, {3, ~0u, 0, 9}};
  start_waiters(two, threads, 2);
  words[3] = 5;
  // Adds 3 to the second word and wakes there because it was greater than 4.
  int operation = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 4);
  show(futex(&words[2], FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &words[3], operation));
  join(threads[0]);
  join(threads[1]);
  printf("word: %u\n", words[3]);
  const int operations[] = {FUTEX_OP_SET, FUTEX_OP_ADD, FUTEX_OP_OR, FUTEX_OP_ANDN, FUTEX_OP_XOR, 5};
  for (int i = 0; i < 6; i++) {
    words[3] = 12;
    long result = futex(&words[2], FUTEX_WAKE_OP, 1, (void *)1, &words[3], FUTEX_OP(operations[i], 5, FUTEX_OP_CMP_EQ, 12));
    printf("op %d: %ld %u, ", operations[i], result, words[3]);
    words[3] = 12;
    futex(&words[2], FUTEX_WAKE_OP, 1, (void *)1, &words[3], FUTEX_OP((operations[i] | FUTEX_OP_OPARG_SHIFT), 5, FUTEX_OP_CMP_EQ, 12));
    printf("shifted %u, ", words[3]);
    words[3] = 12;
    futex(&words[2], FUTEX_WAKE_OP, 1, (void *)1, &words[3], FUTEX_OP(operations[i], 0xffe, FUTEX_OP_CMP_EQ, 12));
    printf("minus two %u\n", words[3]);
  }
  show(futex(&words[2], FUTEX_WAKE_OP, 1, (void *)1, &words[3], FUTEX_OP(FUTEX_OP_SET, 1, 7, 0)));
  show(futex(&words[2], FUTEX_WAKE_OP, 1, (void *)1, BAD, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)));
}

static void priority_inheritance(void) {
  differs("futex");
  pthread_mutexattr_t attributes;
  pthread_mutex_t mutex;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  show_error(pthread_mutex_init(&mutex, &attributes));
}

static void lists(void) {
  section("robust lists, thread ids");
  show(syscall(SYS_set_robust_list, 0, 12));
  void *head;
  size_t size = 0;
  show(syscall(SYS_get_robust_list, 0, &head, &size));
  printf("size %zu, set %d\n", size, head != 0);
  show(syscall(SYS_get_robust_list, 123456, &head, &size));
  show(syscall(SYS_get_robust_list, 0, BAD, &size));
  show(gettid() == getpid());
  show(syscall(SYS_set_tid_address, 0) == gettid());
  show(sched_yield());
}

void checks(void) {
  mutexes();
  robust_mutexes();
  others();
  local();
  ends();
  futexes();
  lists();
  priority_inheritance();
}
