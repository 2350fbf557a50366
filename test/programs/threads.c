// Threads with a mutex and condition variables: four workers take turns by number, then all meet at a barrier.
#include <pthread.h>
#include <stdio.h>

enum { THREADS = 4, ROUNDS = 200 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int turn;
static long sum;
static __thread long mine;

static void *work(void *argument) {
  long number = (long)argument;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_mutex_lock(&lock);
    while (turn % THREADS != number) pthread_cond_wait(&turned, &lock);
    turn++;
    sum += turn * number;
    mine++;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&lock);
  }
  pthread_barrier_wait(&barrier);
  return (void *)mine;
}

int main(void) {
  pthread_t threads[THREADS];
  pthread_barrier_init(&barrier, 0, THREADS);
  for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, work, (void *)i);
  long rounds = 0;
  for (int i = 0; i < THREADS; i++) {
    void *result;
    pthread_join(threads[i], &result);
    rounds += (long)result;
  }
  printf("%d turns, %ld rounds, sum %ld\n", turn, rounds, sum);
  return 0;
}
