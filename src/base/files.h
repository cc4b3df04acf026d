// Files: the seam through which the journal sees the file system. One real one; tests have one that
// fails and loses what was not synced.
//
// What is no plain file of this process's user (a symlink in the last place of a path neither) is
// refused as an error, and so is a file that grows too large, without the system's signal for that.
// Every error's message names the path and the system's reason; what is not there is not_found. A
// File may be used by one thread at a time, Files by any.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/status.h"

namespace log_aggregator {

// An open file; closed when destroyed.
class File {
 public:
  virtual ~File() = default;

  // Makes it at least `bytes` long, with blocks behind all of them, so that writing through a
  // mapping cannot fail for want of space. Fails where the file system cannot promise that; it may
  // have grown then.
  virtual Status reserve(std::uint64_t bytes) = 0;
  virtual Result<std::uint64_t> size() = 0;
  // Reads up to `bytes` from there into `buffer`; fewer only at the end of the file.
  virtual Result<std::size_t> read(std::uint64_t offset, char* buffer, std::size_t bytes) = 0;
  // All of it, or an error.
  virtual Status write(std::uint64_t offset, std::string_view bytes) = 0;
  // The same without a word of why not. Async-signal-safe.
  virtual bool try_write(std::uint64_t offset, std::string_view bytes) = 0;
  // The file's data is on the disk when this is ok. After an error, what was written since the last
  // success may be lost although a later sync succeeds: write it again elsewhere.
  virtual Status sync() = 0;

  // The first `bytes`, shared with the file and not inherited by a forked child; null where the
  // system refuses. Stays valid when the File is gone.
  virtual char* map(std::size_t bytes) = 0;
  virtual void unmap(char* memory, std::size_t bytes) = 0;

  // Takes the file's lock, which lasts as long as the File, or says that another one has it.
  virtual bool try_lock() = 0;
  // Closes what a forked child has inherited of it, without giving up the parent's lock. Nothing
  // else may be done with it afterwards.
  virtual void close_in_child() = 0;
};

class Files {
 public:
  enum class Open { to_read, to_write, to_create };  // to_create: it must not be there yet

  virtual ~Files() = default;

  virtual Result<std::unique_ptr<File>> open(const std::string& path, Open how) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;

  // For its owner only.
  virtual Status make_directory(const std::string& path) = 0;
  // An empty one.
  virtual Status remove_directory(const std::string& path) = 0;
  // Names in it, in no order, without "." and "..".
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  // That names were added, changed or removed in it is on the disk when this is ok.
  virtual Status sync_directory(const std::string& path) = 0;
  // invalid_argument unless it is a directory, not a symlink to one, of this process's user, that
  // nobody else may write in.
  virtual Status check_private_directory(const std::string& path) = 0;

  // Whether files in this directory may be written through mappings: the file system keeps what
  // File::reserve promised, whatever is done with the file afterwards. Those that copy on write do
  // not, and of those that are not known to, it is not expected.
  virtual bool keeps_reservations(const std::string& directory) = 0;
};

// The machine's. Lives for ever.
Files& real_files();

}  // namespace log_aggregator
