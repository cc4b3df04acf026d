// FakeFiles: a file system in memory that remembers apart what was written and what is on the disk,
// so that the power can be cut, and whose calls fail as a test says. Paths begin with "/", which is
// there at first, without anything in it.
//
// The contents of a file are a page cache in shared memory of the machine (memfd_create(2)): map()
// gives a real mapping of it, that reads and writes of every open of the file see. On the disk is,
// for each file, what its last successful sync() found, and for each directory the names of its
// last successful sync_directory(); a new file's name is not there before that. A name of a
// directory is one in its parent. A lock lasts as long as the File. There are no symlinks, owners
// and modes, and nothing is renamed from one directory into another.
//
// May be used by any thread, a File by one at a time; it lives longer than its Files. What it is
// asked for by the test itself (read_file and so on) throws where it cannot be.

#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/files.h"
#include "src/base/mutex.h"
#include "src/testing/seed.h"

namespace log_aggregator::testing {

class FakeFiles final : public Files {
 public:
  // What can fail and is counted.
  enum class Call {
    open,
    reserve,
    read,
    write,
    sync,
    map,
    lock,
    rename,
    remove,
    make_directory,
    remove_directory,
    list,
    sync_directory,
  };

  static constexpr std::uint64_t kPageBytes = 4096;
  static constexpr std::uint64_t kSectorBytes = 512;
  static constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();

  FakeFiles();
  ~FakeFiles() override;
  FakeFiles(const FakeFiles&) = delete;
  FakeFiles& operator=(const FakeFiles&) = delete;

  // -- The end of the process, or of the whole machine. Every File and lock is dead: what is asked
  // of it fails, and what is still written to its mappings goes nowhere. `while_down` is called
  // when nothing works, and is the place to destroy what the dead process has left in the test,
  // whose destructors would otherwise tidy up in the next one's files. Faults and capacity stay.
  using WhileDown = std::function<void()>;

  // SIGKILL: all that was written is there.
  void kill(const WhileDown& while_down = {}) EXCLUDES(mutex_);

  // Of what was written since a file's last sync(), each page is there or not, or some sectors of
  // it; so is what it grew or shrank. Of what was done to the names in a directory since its last
  // sync_directory(), each thing is there or not, whatever came before or after it. A rename may
  // leave the file both names, but not none.
  void power_cut(Random& random, const WhileDown& while_down = {}) EXCLUDES(mutex_);

  // -- Faults.

  // After `after` more calls of this kind the next `times` fail, with that error's text. Failed
  // calls have no effect, but for a sync(): as with Linux, the pages that it was to write count as
  // clean and are not on the disk, nor will a later sync() write them, unless they change again.
  // Replaces what was said of this kind before; 0 times: mended.
  void fail(Call call, std::uint64_t times = kForever, int error = EIO, std::uint64_t after = 0)
      EXCLUDES(mutex_);
  // Calls of this kind so far, those that failed included.
  std::uint64_t calls(Call call) const EXCLUDES(mutex_);

  // "No space left on device" beyond that; as much as fits is reserved or written all the same.
  void set_capacity(std::uint64_t bytes) EXCLUDES(mutex_);
  // In whole pages, of all files that have a name or are open or mapped.
  std::uint64_t used_bytes() const EXCLUDES(mutex_);

  // At first it does. A file system that cannot reserve at all is fail(Call::reserve, kForever,
  // EOPNOTSUPP) besides.
  void set_keeps_reservations(bool keeps) EXCLUDES(mutex_);

  // -- What lies on the disk, looked at and changed by the test: at once and for good, without
  // sync() and unseen by the faults.

  std::string read_file(const std::string& path) const EXCLUDES(mutex_);
  // Made where it is not there.
  void write_file(const std::string& path, std::string_view bytes) EXCLUDES(mutex_);
  // Bit 0 is the lowest of the first byte.
  void flip_bit(const std::string& path, std::uint64_t bit) EXCLUDES(mutex_);
  // Longer too, with zeros.
  void truncate(const std::string& path, std::uint64_t bytes) EXCLUDES(mutex_);
  // Of all files, in order.
  std::vector<std::string> paths() const EXCLUDES(mutex_);

  // -- The seam.

  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override EXCLUDES(mutex_);
  Status rename(const std::string& from, const std::string& to) override EXCLUDES(mutex_);
  Status remove(const std::string& path) override EXCLUDES(mutex_);
  Status make_directory(const std::string& path) override EXCLUDES(mutex_);
  Status remove_directory(const std::string& path) override EXCLUDES(mutex_);
  Result<std::vector<std::string>> list(const std::string& path) override EXCLUDES(mutex_);
  Status sync_directory(const std::string& path) override EXCLUDES(mutex_);
  // That it is a directory is all that can be wrong here.
  Status check_private_directory(const std::string& path) override EXCLUDES(mutex_);
  bool keeps_reservations(const std::string& directory) override EXCLUDES(mutex_);

 private:
  class Contents;
  class Directory;
  class OpenFile;

  // One of them.
  struct Entry {
    std::shared_ptr<Contents> file;
    std::shared_ptr<Directory> directory;
    bool operator==(const Entry&) const = default;
  };
  // Where a path leads: `name` in `parent`, null where a directory on the way is not there.
  struct Place {
    std::shared_ptr<Directory> parent;
    std::string name;
  };
  struct Fault {
    std::uint64_t after = 0;
    std::uint64_t times = 0;
    int error = 0;
  };
  struct Mapping {
    std::shared_ptr<Contents> file;
    std::size_t bytes = 0;
  };

  static constexpr std::size_t kCalls = static_cast<std::size_t>(Call::sync_directory) + 1;

  // Counts the call and says whether it may be.
  Status begin(Call call, const std::string& path) REQUIRES(mutex_);
  // The same where it is of a directory, which `entry` has to be.
  Result<Directory*> begin(Call call, const std::string& path, const Entry& entry) REQUIRES(mutex_);
  Place find_place(const std::string& path) const REQUIRES(mutex_);
  // Neither where it is not there.
  Entry find(const std::string& path) const REQUIRES(mutex_);
  Contents& file_at(const std::string& path) const REQUIRES(mutex_);
  std::uint64_t used() const REQUIRES(mutex_);
  // How long a file may become that would be `wanted` bytes long.
  std::uint64_t fitting(const Contents& file, std::uint64_t wanted) const REQUIRES(mutex_);
  static void power_cut(Directory& directory, Random& random, std::set<Contents*>& done);
  template <typename Visit>
  static void for_each_file(const Directory& directory, const std::string& path,
                            const Visit& visit);
  void end_life() REQUIRES(mutex_);
  void restart(const WhileDown& while_down) EXCLUDES(mutex_);

  mutable Mutex mutex_;
  bool down_ GUARDED_BY(mutex_) = false;
  bool keeps_reservations_ GUARDED_BY(mutex_) = true;
  std::uint64_t capacity_ GUARDED_BY(mutex_) = kForever;
  std::array<Fault, kCalls> faults_ GUARDED_BY(mutex_){};
  std::array<std::uint64_t, kCalls> calls_ GUARDED_BY(mutex_){};

  std::shared_ptr<Directory> root_ GUARDED_BY(mutex_);
  // Those of the living.
  std::map<const OpenFile*, std::shared_ptr<Contents>> open_ GUARDED_BY(mutex_);
  std::map<const Contents*, const OpenFile*> locks_ GUARDED_BY(mutex_);
  std::map<const char*, Mapping> mappings_ GUARDED_BY(mutex_);
};

}  // namespace log_aggregator::testing
