// C++: exceptions through everything (libstdc++, destructors, noexcept, threads, signal handlers), and the parts of the
// standard library that lean on the machine: threads, futures, thread_local, iostreams, regex, RTTI, function-local statics.
#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <iomanip>
#include <iostream>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <typeinfo>
#include <unordered_map>
#include <variant>
#include <vector>
#include <sys/wait.h>
#include <unistd.h>

struct Loud {
  const char *name;
  explicit Loud(const char *n) : name(n) { std::cout << "+" << name << " "; }
  Loud(const Loud &other) : name(other.name) { std::cout << "=" << name << " "; }
  ~Loud() { std::cout << "-" << name << (std::uncaught_exceptions() ? "! " : " "); }
};

struct Base {
  virtual ~Base() = default;
  virtual int id() const { return 1; }
};
struct Left : virtual Base { int id() const override { return 2; } };
struct Right : virtual Base { int other = 5; };
struct Both : Left, Right { int id() const override { return 4; } };

struct Coded : std::runtime_error {
  int code;
  Coded(int c, const std::string &what) : std::runtime_error(what), code(c) {}
};

__attribute__((noinline)) static int nest(int depth) {
  Loud here(depth % 2 ? "odd" : "even");
  if (depth == 0) throw Coded(42, "from below");
  try {
    return nest(depth - 1) + 1;
  } catch (const std::logic_error &) {
    return -1;
  }
}

static void ends(const char *what, void (*act)()) {
  std::cout.flush();
  pid_t pid = fork();
  if (pid == 0) {
    close(2);
    act();
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  std::cout << what << ": " << (WIFSIGNALED(status) ? "signal " : "exit ") << (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)) << "\n";
}
static void no_throw() noexcept { throw 1; }
struct Thrower { ~Thrower() noexcept(false) { throw 3; } };

static void basic() {
  try {
    nest(3);
  } catch (const Coded &e) {
    std::cout << "caught " << e.code << " " << e.what() << "\n";
  }
  for (int i = 0; i < 6; i++) {
    try {
      try {
        if (i == 0) throw 5;
        if (i == 1) throw 2.5;
        if (i == 2) throw std::string("text");
        if (i == 3) throw Both();
        if (i == 4) throw "literal";
        throw std::make_unique<int>(9);
      } catch (int n) {
        std::cout << "int " << n << " ";
        throw;
      } catch (const Base &b) {
        std::cout << "base " << b.id() << " " << (dynamic_cast<const Right *>(&b) ? dynamic_cast<const Right *>(&b)->other : 0) << " ";
        throw std::out_of_range("again");
      }
    } catch (const std::exception &e) {
      std::cout << "exception " << e.what() << "\n";
    } catch (const char *s) {
      std::cout << "chars " << s << "\n";
    } catch (const std::string &s) {
      std::cout << "string " << s << "\n";
    } catch (...) {
      std::cout << "something\n";
    }
  }
  std::vector<int> v(10);
  try { v.at(10) = 1; } catch (const std::out_of_range &e) { std::cout << e.what() << "\n"; }
  try { (void)std::stoi("x"); } catch (const std::invalid_argument &e) { std::cout << e.what() << "\n"; }
  try { (void)std::string("abc").substr(5); } catch (const std::out_of_range &e) { std::cout << "substr\n"; }
  try { v.resize(v.max_size() + 1UL); } catch (const std::length_error &e) { std::cout << e.what() << "\n"; }
  try { std::function<int()> f; f(); } catch (const std::bad_function_call &e) { std::cout << e.what() << "\n"; }
  try { (void)dynamic_cast<Both &>(static_cast<Base &>(*std::make_unique<Left>())); } catch (const std::bad_cast &e) { std::cout << e.what() << "\n"; }
  try { std::variant<int, char> w = 1; std::get<char>(w); } catch (const std::bad_variant_access &e) { std::cout << "variant\n"; }
  int comparisons = 0;
  std::iota(v.begin(), v.end(), 0);
  try {
    std::sort(v.rbegin(), v.rend(), [&](int a, int b) { if (++comparisons == 20) throw comparisons; return a < b; });
  } catch (int n) { std::cout << "sort threw at " << n << "\n"; }
  try {
    try { throw std::runtime_error("inner"); } catch (...) { std::throw_with_nested(std::logic_error("outer")); }
  } catch (const std::exception &e) {
    std::cout << e.what();
    try { std::rethrow_if_nested(e); } catch (const std::exception &n) { std::cout << " of " << n.what() << "\n"; }
  }
  long sum = 0;
  for (int i = 0; i < 3000; i++) {
    try { if (i % 3) throw i; sum++; } catch (int n) { sum += n; }
  }
  std::cout << sum << "\n";
  ends("noexcept", [] { no_throw(); });
  ends("uncaught", [] { throw Coded(1, "x"); });
  ends("in unwinding", [] { try { Thrower t; throw 1; } catch (...) { } });
  ends("thread without join", [] { std::thread t([] {}); });
  ends("pure exit", [] { exit(7); });
}

static thread_local struct Local {
  int n = 0;
  std::string text = "local";
  ~Local() { total += n; }
  static std::atomic<int> total;
} local;
std::atomic<int> Local::total;

static int &counter() {
  static int n = [] { std::cout << "once\n"; return 100; }();
  return n;
}

static void threads() {
  std::exception_ptr carried;
  std::thread([&] { try { nest(1); } catch (...) { carried = std::current_exception(); } }).join();
  try { std::rethrow_exception(carried); } catch (const Coded &e) { std::cout << "carried " << e.code << "\n"; }
  auto future = std::async(std::launch::async, []() -> int { throw std::runtime_error("in async"); });
  try { future.get(); } catch (const std::exception &e) { std::cout << e.what() << "\n"; }
  std::vector<std::thread> all;
  std::mutex mutex;
  std::condition_variable changed;
  int turn = 0;
  for (int i = 0; i < 8; i++) all.emplace_back([&, i] {
    for (int j = 0; j < 200; j++) { try { if (j % 2) throw j; local.n++; } catch (int) { local.n += 2; } }
    counter();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return turn == i; });
    std::cout << "thread " << i << " " << local.n << " " << local.text << "\n";
    turn++;
    changed.notify_all();
  });
  for (auto &t : all) t.join();
  std::cout << "destroyed locals " << Local::total << "\n";
  std::once_flag flag;
  for (int i = 0; i < 3; i++) { try { std::call_once(flag, [&] { if (i == 0) throw 1; std::cout << "called at " << i << "\n"; }); } catch (int) { std::cout << "call_once threw\n"; } }
  std::promise<int> promise;
  auto got = promise.get_future();
  std::thread([&] { promise.set_value_at_thread_exit(12); }).join();
  std::cout << got.get() << " " << (std::async(std::launch::deferred, [] { return 3; }).get()) << "\n";
  std::timed_mutex timed;
  timed.lock();
  std::thread([&] { std::cout << timed.try_lock_for(std::chrono::milliseconds(5)) << "\n"; }).join();
  timed.unlock();
}

static void on_fault(int) { throw std::runtime_error("out of a signal handler"); }
__attribute__((noinline)) static int poke(volatile int *p) { return *p; }
static void from_signals() {
  struct sigaction action {};
  action.sa_handler = on_fault;
  action.sa_flags = SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  for (int i = 0; i < 3; i++) {
    Loud guard("guard");
    try { poke(reinterpret_cast<int *>(8)); } catch (const std::exception &e) { std::cout << e.what() << "\n"; }
  }
  signal(SIGSEGV, SIG_DFL);
}

static void library() {
  std::cout << std::setprecision(17) << 0.1 << " " << std::scientific << 12345.678 << " " << std::hexfloat << 1.5 << std::defaultfloat << " " << std::setw(8) << std::setfill('*') << 42 << " " << std::hex << std::showbase << 255 << std::dec << " " << std::boolalpha << true << " " << 1.0L / 3 << "\n";
  std::istringstream in("12 0x1f 3.25 word 1e400 nan");
  int a; std::string s; double d;
  in >> a >> s >> d;
  std::cout << a << s << d << " ";
  in >> s >> d;
  std::cout << s << " " << in.fail() << " " << d << "\n";
  std::regex re("(\\w+)@(\\w+)\\.com");
  std::smatch m;
  std::string text = "mail bob@example.com or amy@test.com";
  for (auto it = std::sregex_iterator(text.begin(), text.end(), re); it != std::sregex_iterator(); ++it) std::cout << (*it)[1] << " at " << (*it)[2] << "; ";
  std::cout << std::regex_replace(text, re, "<$1>") << "\n";
  try { std::regex bad("(["); } catch (const std::regex_error &e) { std::cout << "regex error\n"; }
  std::mt19937_64 random(12345);
  std::uniform_int_distribution<int> dice(1, 6);
  std::normal_distribution<double> normal(0, 1);
  long total = 0; double norm = 0;
  for (int i = 0; i < 10000; i++) total += dice(random), norm += normal(random);
  std::cout << total << " " << std::setprecision(12) << norm << "\n";
  std::map<std::string, std::vector<int>> index;
  std::unordered_map<std::string, int> counts;
  for (int i = 0; i < 5000; i++) { std::string k = "k" + std::to_string(i * 7919 % 307); index[k].push_back(i); counts[k] += i; }
  long check = 0;
  for (auto &[k, v] : index) check = check * 31 + counts[k] + (long)v.size() + k[1];
  std::cout << check << "\n";
  std::list<int> list(1000); std::iota(list.begin(), list.end(), 0); list.sort(std::greater<>()); list.remove_if([](int n) { return n % 3 == 0; });
  std::cout << list.size() << " " << list.front() << " " << std::accumulate(list.begin(), list.end(), 0) << " " << std::bitset<70>(0x123456789abcdefULL) << "\n";
  std::cout << typeid(Both).name() << " " << typeid(int *).name() << " " << (typeid(*std::unique_ptr<Base>(new Both)) == typeid(Both)) << " " << std::numeric_limits<long double>::max() << "\n";
  std::shared_ptr<Loud> shared = std::make_shared<Loud>("shared"); std::weak_ptr<Loud> weak = shared; shared.reset();
  std::cout << weak.expired() << " " << std::sqrt(2.0f) << " " << std::pow(2.0, 0.5) << " " << std::hypot(3.0, 4.0) << "\n";
  std::wstring wide = L"wide"; std::wcout.flush();
  std::cout << wide.size() << " " << std::hash<std::string>()("abc") << "\n";
}

int main() {
  basic();
  threads();
  from_signals();
  library();
  return 0;
}
