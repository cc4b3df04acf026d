// A server that forks its workers beforehand. The handler is made once, before the forks: each
// child goes on with it by a queue and a connection of its own. With a spool, what a child has
// logged arrives even if it is killed.
//
//   fork_server [ENDPOINT [SPOOL_DIRECTORY [PORT]]]
//
// A child that dies is replaced, and that is logged. Ends on SIGINT and SIGTERM.

#include <fcntl.h>
#include <log_aggregator/handler.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>

#include "http.h"

namespace {

using log_aggregator::field;
using log_aggregator::Handler;
using log_aggregator::Level;

constexpr std::size_t kChildren = 3;

// Serves until `parent`, the reading end of a pipe, says that the parent has closed the other one
// or has died.
void serve(Handler& handler, int listener, int parent) {
  pollfd waits[] = {{listener, POLLIN, 0}, {parent, 0, 0}};
  while (::poll(waits, 2, -1) > 0 && waits[1].revents == 0) {
    const int connection = ::accept(listener, nullptr, nullptr);
    if (connection < 0) continue;  // another child was faster
    const std::string head = http::read_head(connection);
    // Before the answer: what a client knows to be done is in the log.
    handler.log(Level::info, "request served", field("path", http::path_of(head)));
    http::answer(connection, 200, "Served by " + std::to_string(::getpid()) + "\n");
  }
}

class Parent {
 public:
  Parent(Handler& handler, int listener) : handler_(handler), listener_(listener) {
    if (::pipe2(pipe_, O_CLOEXEC) != 0) std::abort();
    ::fcntl(listener, F_SETFL, O_NONBLOCK);
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&signals_, signal);
    ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
  }

  // Until a signal says that it is to end, and the children have ended.
  void run() {
    int signal = SIGCHLD;
    while (signal == SIGCHLD) {
      reap();
      while (children_.size() < kChildren) children_.insert(fork_child());
      sigwait(&signals_, &signal);
    }
    ::close(pipe_[1]);
    for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
  }

 private:
  // A child ends by _exit(): what its parent does at its own end is not the child's. That closes no
  // handler, so it does it itself.
  pid_t fork_child() {
    const pid_t child = ::fork();
    if (child < 0) {
      std::perror("fork");
      std::exit(1);
    }
    if (child > 0) return child;
    ::close(pipe_[1]);
    serve(handler_, listener_, pipe_[0]);
    ::_exit(handler_.close() ? 0 : 1);
  }

  void reap() {
    int status = 0;
    for (pid_t child = 0; (child = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      children_.erase(child);
      handler_.log(Level::error, "a worker has died", field("pid", child),
                   field("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    }
  }

  Handler& handler_;
  const int listener_;
  int pipe_[2];
  sigset_t signals_;
  std::set<pid_t> children_;
};

}  // namespace

int main(int count, char** arguments) {
  log_aggregator::Options options;
  options.api_endpoint = count > 1 ? arguments[1] : "http://127.0.0.1:8080/api/logs";
  options.spool_dir = count > 2 ? arguments[2] : "";
  auto made = Handler::create(std::move(options));
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().message().c_str());
    return 1;
  }

  const int listener = http::listen_on(count > 3 ? std::atoi(arguments[3]) : 0);
  if (listener < 0) {
    std::perror("listen");
    return 1;
  }
  std::printf("listening on http://127.0.0.1:%d\n", http::port_of(listener));
  std::fflush(stdout);
  Parent(**made, listener).run();
  return (*made)->close() ? 0 : 1;
}
