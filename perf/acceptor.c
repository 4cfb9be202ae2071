/* Who accepts: each worker by a listener of its own (SO_REUSEPORT), or one thread that hands over.
 *
 *     cc -O2 -pthread -o acceptor acceptor.c && ./acceptor own|handed WORKERS SECONDS CLIENTS
 *
 * Clients connect, say a byte, hear one, and end by a reset, as fast as they are served: nothing but the way
 * in is measured. Workers wait by epoll, one on each CPU; whoever hands over gives connections to workers in
 * turn, by a ring of descriptors and an eventfd that is written only when the worker may sleep. Printed as JSON:
 * connections, processor time of the server's threads for each, and how many each worker had.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, RING = 4096, EVENTS = 256 };

struct worker {
    pthread_t thread;
    int listener, wake, epoll, cpu;
    _Atomic unsigned long head, tail; /* of the ring: one writer, one reader */
    atomic_int asleep;
    int ring[RING];
    unsigned long served;
    double cpu_s;
};

static struct worker workers[WORKERS_MAX];
static int count;
static atomic_int over, clients_over;
static struct sockaddr_in address;

static void fail(const char *what) { perror(what); exit(1); }

static double used(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int listening(void) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || listen(fd, 4096)) fail("listen");
    getsockname(fd, (struct sockaddr *)&address, &length);
    return fd;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void serve(struct worker *own, int fd) {
    char byte;
    if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1) {
        own->served++;
        (void)!send(fd, &byte, 1, MSG_NOSIGNAL);
        return; /* The client's reset ends it. */
    }
    if (errno != EAGAIN) close(fd);
}

static void take_over(struct worker *own) {
    unsigned long tail = atomic_load_explicit(&own->tail, memory_order_relaxed);
    for (; tail != atomic_load_explicit(&own->head, memory_order_acquire); tail++)
        watch(own->epoll, own->ring[tail % RING]);
    atomic_store_explicit(&own->tail, tail, memory_order_release);
}

static void on_ready(struct worker *own, int fd) {
    unsigned long number;
    if (fd == own->listener)
        for (int client; (client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) watch(own->epoll, client);
    else if (fd == own->wake)
        (void)!read(fd, &number, sizeof number);
    else
        serve(own, fd);
}

static void *work(void *argument) {
    struct worker *own = argument;
    struct epoll_event events[EVENTS];
    pin(own->cpu);
    while (!atomic_load(&over)) {
        atomic_store(&own->asleep, 1);
        take_over(own);
        int ready = epoll_wait(own->epoll, events, EVENTS, 100);
        atomic_store(&own->asleep, 0);
        for (int at = 0; at < ready; at++) on_ready(own, events[at].data.fd);
        take_over(own);
    }
    own->cpu_s = used();
    return NULL;
}

/* The one that accepts, for all. */
static void *hand_over(void *argument) {
    double *cpu_s = argument;
    int listener = listening(), epoll = epoll_create1(0), turn = 0;
    unsigned long one = 1;
    struct epoll_event event;
    watch(epoll, listener);
    while (!atomic_load(&over)) {
        epoll_wait(epoll, &event, 1, 100);
        for (int client; (client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
            struct worker *to = &workers[turn++ % count];
            unsigned long head = atomic_load_explicit(&to->head, memory_order_relaxed);
            while (head - atomic_load_explicit(&to->tail, memory_order_acquire) == RING) sched_yield();
            to->ring[head % RING] = client;
            atomic_store(&to->head, head + 1);
            if (atomic_exchange(&to->asleep, 0)) (void)!write(to->wake, &one, sizeof one);
        }
    }
    *cpu_s = used();
    return NULL;
}

static void *connect_on_and_on(void *argument) {
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f020001 + (unsigned)(long)argument)};
    int one = 1;
    char byte = 'x';
    while (!atomic_load(&clients_over)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (bind(fd, (struct sockaddr *)&from, sizeof from) || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
        if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1) (void)!recv(fd, &byte, 1, 0);
        close(fd);
    }
    return NULL;
}

static void open_worker(struct worker *own, int number, int is_own) {
    own->epoll = epoll_create1(0);
    own->wake = eventfd(0, EFD_NONBLOCK);
    own->listener = is_own ? listening() : -1;
    own->cpu = number % (int)sysconf(_SC_NPROCESSORS_ONLN);
    watch(own->epoll, own->wake);
    if (is_own) watch(own->epoll, own->listener);
    pthread_create(&own->thread, NULL, work, own);
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: acceptor own|handed WORKERS SECONDS CLIENTS\n"), 2;
    int is_own = !strcmp(argv[1], "own"), clients = atoi(argv[4]);
    double acceptor_s = 0, cpu_s = 0;
    unsigned long served = 0, most = 0;
    pthread_t acceptor, client[256];
    count = atoi(argv[2]);
    if (count < 1 || count > WORKERS_MAX || clients < 1 || clients > 256) return 2;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int at = 0; at < count; at++) open_worker(&workers[at], at, is_own);
    if (!is_own) pthread_create(&acceptor, NULL, hand_over, &acceptor_s);
    usleep(200000);
    for (long at = 0; at < clients; at++) pthread_create(&client[at], NULL, connect_on_and_on, (void *)at);
    usleep((useconds_t)(atof(argv[3]) * 1e6));
    /* Clients first: each waits for its answer. */
    for (atomic_store(&clients_over, 1); clients--;) pthread_join(client[clients], NULL);
    atomic_store(&over, 1);
    if (!is_own) pthread_join(acceptor, NULL);
    for (int at = 0; at < count; at++) {
        pthread_join(workers[at].thread, NULL);
        served += workers[at].served;
        cpu_s += workers[at].cpu_s;
        most = workers[at].served > most ? workers[at].served : most;
    }
    printf("{\"connections\": %lu, \"cpu_us\": %.2f, \"acceptor_us\": %.2f, \"imbalance\": %.3f}\n", served,
           (cpu_s + acceptor_s) * 1e6 / served, acceptor_s * 1e6 / served, (double)most * count / served);
    return 0;
}
