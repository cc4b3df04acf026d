#include "src/base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace log_aggregator {
namespace {

constexpr mode_t kOwnerOnlyFile = 0600;
constexpr mode_t kOwnerOnlyDirectory = 0700;

// Of statfs(2): file systems that write in place what fallocate(2) has reserved. ext2 and ext3
// share ext4's number; they refuse to reserve.
constexpr std::array<std::uint32_t, 3> kInPlaceFileSystems = {
    0x0000EF53,  // ext4
    0x58465342,  // XFS
    0x01021994,  // tmpfs
};

Status failure(const std::string& path, int error) {
  const StatusCode code = error == ENOENT ? StatusCode::not_found : StatusCode::unavailable;
  return {code, path + ": " + std::strerror(error)};
}

// A call that answers -1 and errno where it failed.
Status checked(int answer, const std::string& path) {
  return answer == 0 ? Status() : failure(path, errno);
}

template <typename Call>
auto uninterrupted(const Call& call) {
  auto answer = call();
  while (answer < 0 && errno == EINTR) answer = call();
  return answer;
}

// With one, lstat(2) would follow a symlink.
std::string without_slashes_at_end(const std::string& path) {
  const std::size_t last = path.find_last_not_of('/');
  return last == std::string::npos ? path : path.substr(0, last + 1);
}

// Beyond this limit the system would send SIGXFSZ, which ends a process that does not expect it.
bool exceeds_file_limit(std::uint64_t end) {
  rlimit limit{};
  return ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
         end > limit.rlim_cur;
}

class RealFile final : public File {
 public:
  RealFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  ~RealFile() override {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  Status reserve(std::uint64_t bytes) override {
    if (exceeds_file_limit(bytes)) return failure(path_, EFBIG);
    const auto size = static_cast<off_t>(bytes);
    return checked(uninterrupted([&] { return ::fallocate(descriptor_, 0, 0, size); }), path_);
  }

  Result<std::uint64_t> size() override {
    struct stat about {};
    if (::fstat(descriptor_, &about) != 0) return failure(path_, errno);
    return static_cast<std::uint64_t>(about.st_size);
  }

  Result<std::size_t> read(std::uint64_t offset, char* buffer, std::size_t bytes) override {
    std::size_t done = 0;
    while (done < bytes) {
      const ssize_t count = uninterrupted([&] {
        return ::pread(descriptor_, buffer + done, bytes - done, static_cast<off_t>(offset + done));
      });
      if (count < 0) return failure(path_, errno);
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  Status write(std::uint64_t offset, std::string_view bytes) override {
    return try_write(offset, bytes) ? Status() : failure(path_, errno);
  }

  bool try_write(std::uint64_t offset, std::string_view bytes) override {
    if (exceeds_file_limit(offset + bytes.size())) {
      errno = EFBIG;
      return false;
    }
    while (!bytes.empty()) {
      const ssize_t count = uninterrupted([&] {
        return ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      });
      if (count < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
    return true;
  }

  Status sync() override {
    return checked(uninterrupted([&] { return ::fdatasync(descriptor_); }), path_);
  }

  char* map(std::size_t bytes) override {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
    if (memory == MAP_FAILED) return nullptr;
    ::madvise(memory, bytes, MADV_DONTFORK);
    return static_cast<char*>(memory);
  }

  void unmap(char* memory, std::size_t bytes) override { ::munmap(memory, bytes); }

  bool try_lock() override {
    return uninterrupted([&] { return ::flock(descriptor_, LOCK_EX | LOCK_NB); }) == 0;
  }

  void close_in_child() override { ::close(std::exchange(descriptor_, -1)); }

 private:
  int descriptor_;
  const std::string path_;
};

class RealFiles final : public Files {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override {
    // O_NONBLOCK: a pipe that somebody put there must not stop us.
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (how == Open::to_read ? O_RDONLY : O_RDWR);
    if (how == Open::to_create) flags |= O_CREAT | O_EXCL;
    const int descriptor =
        uninterrupted([&] { return ::open(path.c_str(), flags, kOwnerOnlyFile); });
    if (descriptor < 0) return failure(path, errno);
    std::unique_ptr<File> file = std::make_unique<RealFile>(descriptor, path);
    struct stat about {};
    if (::fstat(descriptor, &about) != 0) return failure(path, errno);
    if (!S_ISREG(about.st_mode)) return Status::unavailable(path + ": not a plain file");
    if (about.st_uid != ::geteuid()) return Status::unavailable(path + ": belongs to another user");
    return file;
  }

  Status rename(const std::string& from, const std::string& to) override {
    return checked(std::rename(from.c_str(), to.c_str()), from);
  }

  Status remove(const std::string& path) override { return checked(::unlink(path.c_str()), path); }

  Status make_directory(const std::string& path) override {
    return checked(::mkdir(path.c_str(), kOwnerOnlyDirectory), path);
  }

  Status remove_directory(const std::string& path) override {
    return checked(::rmdir(path.c_str()), path);
  }

  Result<std::vector<std::string>> list(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) return failure(path, errno);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return failure(path, errno);
    return names;
  }

  Status sync_directory(const std::string& path) override {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return failure(path, errno);
    Status status = checked(uninterrupted([&] { return ::fsync(descriptor); }), path);
    ::close(descriptor);
    return status;
  }

  Status check_private_directory(const std::string& path) override {
    struct stat about {};
    if (::lstat(without_slashes_at_end(path).c_str(), &about) != 0) {
      return Status::invalid_argument(path + ": " + std::strerror(errno));
    }
    if (S_ISLNK(about.st_mode)) {
      return Status::invalid_argument(path + " is a symlink: name the directory itself");
    }
    if (!S_ISDIR(about.st_mode)) return Status::invalid_argument(path + " is not a directory");
    if (about.st_uid != ::geteuid()) {
      return Status::invalid_argument(path + " belongs to another user");
    }
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
      return Status::invalid_argument(path + " can be written by others: chmod 700 " + path);
    }
    if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
      return Status::invalid_argument(path + " cannot be used: " + std::strerror(errno));
    }
    return {};
  }

  bool keeps_reservations(const std::string& directory) override {
    struct statfs about {};
    if (::statfs(directory.c_str(), &about) != 0) return false;
    const auto type = static_cast<std::uint32_t>(about.f_type);
    if (std::find(kInPlaceFileSystems.begin(), kInPlaceFileSystems.end(), type) ==
        kInPlaceFileSystems.end()) {
      return false;
    }
    return can_reserve(directory);
  }

 private:
  static bool can_reserve(const std::string& directory) {
    const int probe = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, kOwnerOnlyFile);
    if (probe < 0) return false;
    // Full is not the same as unable.
    const bool can = !exceeds_file_limit(1) &&
                     (::fallocate(probe, 0, 0, 1) == 0 || errno == ENOSPC || errno == EDQUOT);
    ::close(probe);
    return can;
  }
};

}  // namespace

Files& real_files() {
  static RealFiles* const files = new RealFiles;
  return *files;
}

}  // namespace log_aggregator
