// What a fork must not cut in two, and what a child does about it.
//
// A child has the one thread that forked. A mutex that another thread held stays locked in it for
// ever, and what that thread was changing stays half done. So every live object that is ForkAware
// is asked, before the fork, to take its mutexes, and afterwards to release them: in the parent to
// go on as if nothing had been, in the child to leave behind what its parent works with. The locks
// of spools and libcurl are held the same way. Not parked are threads that do not look at our
// mutexes: libcurl's name lookups. One that a fork catches inside the C library can hang lookups in
// the child, where its requests then time out; no other call waits for them.
//
// What any thread makes at its first use, such as simdjson's choice among its kernels, is made when
// the library is loaded.
//
// Order of locks: the list of ForkAware objects, then those of each object, then those of spools
// and of libcurl, under which nobody takes another. Nobody waits under them for a lock that an
// application may hold while it forks, as Python's interpreter lock. Nothing prints, starts a
// thread or allocates between a fork and its end.
//
// vfork and posix_spawn, and with them subprocess, come by none of this.

#pragma once

namespace log_aggregator {

class ForkAware {
 public:
  ForkAware() = default;
  virtual ~ForkAware() = default;
  ForkAware(const ForkAware&) = delete;
  ForkAware& operator=(const ForkAware&) = delete;

  // All three are called on the thread that forks, and none may throw. The first returns with the
  // object's mutexes held, the others release them.
  virtual void before_fork() = 0;
  virtual void after_fork_in_parent() = 0;
  virtual void after_fork_in_child() = 0;

 private:
  friend class ForkWatch;
  ForkAware* previous_ = nullptr;
  ForkAware* next_ = nullptr;
};

// The list of live ForkAware objects. Any thread.
class ForkWatch {
 public:
  // From now on `object` is told of forks. False where the system has no memory for that.
  static bool add(ForkAware& object);
  // Waits for a fork that is under way. Harmless where it was not added.
  static void remove(ForkAware& object);

 private:
  // Done when the library is loaded, while no other thread can be logging or forking yet, or by a
  // handler that is a global of an application and comes earlier. False as with add().
  static bool start();
  static const bool started_at_load_;

  static void prepare();
  static void in_parent();
  static void in_child();
};

}  // namespace log_aggregator
