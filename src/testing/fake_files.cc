#include "src/testing/fake_files.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace log_aggregator::testing {
namespace {

Status failure(const std::string& path, int error) {
  const StatusCode code = error == ENOENT ? StatusCode::not_found : StatusCode::unavailable;
  return {code, path + ": " + std::strerror(error)};
}

std::uint64_t whole_pages(std::uint64_t bytes) {
  return (bytes + FakeFiles::kPageBytes - 1) / FakeFiles::kPageBytes * FakeFiles::kPageBytes;
}

std::string_view part(std::string_view bytes, std::uint64_t offset, std::uint64_t count) {
  return offset < bytes.size() ? bytes.substr(offset, count) : std::string_view();
}

// How much survives a power cut, drawn once for each file and directory: with a coin for each page
// alone, files with many pages would never be lost or kept as a whole.
class Luck {
 public:
  explicit Luck(Random& random) : random_(random), quarters_(random.below(5)) {}
  bool survives() { return random_.below(4) < quarters_; }
  bool tears() { return quarters_ % 4 != 0 && random_.one_in(4); }

 private:
  Random& random_;
  const std::uint64_t quarters_;
};

}  // namespace

// A file: its page cache, and its bytes on the disk.
class FakeFiles::Contents {
 public:
  Contents() : cache_(make_cache()) {}
  ~Contents() { ::close(cache_); }
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  std::uint64_t size() const { return size_; }

  std::string bytes() const {
    std::string bytes(size_, '\0');
    bytes.resize(read(0, bytes.data(), bytes.size()));
    return bytes;
  }

  std::size_t read(std::uint64_t offset, char* buffer, std::size_t bytes) const {
    std::size_t done = 0;
    while (done < bytes) {
      const auto count =
          ::pread(cache_, buffer + done, bytes - done, static_cast<off_t>(offset + done));
      if (count < 0) throw std::system_error(errno, std::generic_category(), "pread");
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  void write(std::uint64_t offset, std::string_view bytes) {
    if (bytes.empty()) return;
    const std::uint64_t end = offset + bytes.size();
    size_ = std::max(size_, end);
    // Written again, they are dirty again, even if they are the same.
    lost_pages_.erase(lost_pages_.lower_bound(offset / kPageBytes),
                      lost_pages_.upper_bound((end - 1) / kPageBytes));
    while (!bytes.empty()) {
      const auto count = ::pwrite(cache_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (count <= 0) throw std::system_error(errno, std::generic_category(), "pwrite");
      bytes.remove_prefix(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
  }

  void resize(std::uint64_t bytes) {
    if (::ftruncate(cache_, static_cast<off_t>(bytes)) != 0) {
      throw std::system_error(errno, std::generic_category(), "ftruncate");
    }
    size_ = bytes;
  }

  char* map(std::size_t bytes) const {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cache_, 0);
    if (memory == MAP_FAILED) return nullptr;
    ::madvise(memory, bytes, MADV_DONTFORK);
    return static_cast<char*>(memory);
  }

  void sync() {
    std::string now = bytes();
    for (auto lost = lost_pages_.begin(); lost != lost_pages_.end();) {
      if (!is_still(*lost, now)) {
        lost = lost_pages_.erase(lost);
        continue;
      }
      take_page(lost->first, disk_, now);
      ++lost;
    }
    disk_ = std::move(now);
  }

  void fail_sync() {
    const std::string now = bytes();
    for (std::uint64_t page = 0; page * kPageBytes < now.size(); ++page) {
      if (page_of(now, page) != page_of(disk_, page)) lost_pages_[page] = page_of(now, page);
    }
  }

  void power_cut(Random& random) {
    const std::string now = bytes();
    std::string then = disk_;
    then.resize(size_after_power_cut(now.size(), random));
    Luck luck(random);
    for (std::uint64_t page = 0; page * kPageBytes < then.size(); ++page) {
      const auto lost = lost_pages_.find(page);
      if (lost != lost_pages_.end() && is_still(*lost, now)) continue;
      if (page_of(now, page) == page_of(then, page)) continue;
      if (luck.tears()) {
        mix_sectors(page, now, then, random);
      } else if (luck.survives()) {
        take_page(page, now, then);
      }
    }
    replace_cache();
    put(then);
  }

  // The mappings of before keep the page cache to themselves.
  void detach() {
    const std::string now = bytes();
    replace_cache();
    auto lost_pages = std::exchange(lost_pages_, {});
    write(0, now);
    lost_pages_ = std::move(lost_pages);
  }

  // In the cache and on the disk.
  void put(std::string_view bytes) {
    resize(bytes.size());
    write(0, bytes);
    lost_pages_.clear();
    disk_ = bytes;
  }

  void flip_bit(std::uint64_t bit) {
    const std::uint64_t offset = bit / 8;
    const auto mask = static_cast<char>(1U << (bit % 8));
    char byte = 0;
    if (read(offset, &byte, 1) != 1) throw std::out_of_range("flip_bit: the file is shorter");
    byte = static_cast<char>(byte ^ mask);
    auto lost_pages = lost_pages_;
    write(offset, {&byte, 1});
    lost_pages_ = std::move(lost_pages);
    if (offset < disk_.size()) disk_[offset] = static_cast<char>(disk_[offset] ^ mask);
  }

  void truncate(std::uint64_t bytes) {
    resize(bytes);
    disk_.resize(bytes);
  }

 private:
  static int make_cache() {
    const int cache = ::memfd_create("fake file", MFD_CLOEXEC);
    if (cache < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
    return cache;
  }

  void replace_cache() {
    ::close(std::exchange(cache_, make_cache()));
    size_ = 0;
  }

  // In full, as the page cache has it: zeros beyond the end.
  static std::string page_of(std::string_view bytes, std::uint64_t page) {
    std::string copy(part(bytes, page * kPageBytes, kPageBytes));
    copy.resize(kPageBytes);
    return copy;
  }

  static void take(std::uint64_t offset, std::uint64_t count, std::string_view from,
                   std::string& to) {
    const std::string_view here = part(to, offset, count);
    std::string bytes(part(from, offset, count));
    bytes.resize(here.size());
    to.replace(offset, bytes.size(), bytes);
  }

  static void take_page(std::uint64_t page, std::string_view from, std::string& to) {
    if (page * kPageBytes < to.size()) take(page * kPageBytes, kPageBytes, from, to);
  }

  static void mix_sectors(std::uint64_t page, std::string_view from, std::string& to,
                          Random& random) {
    const std::uint64_t end = std::min<std::uint64_t>((page + 1) * kPageBytes, to.size());
    for (std::uint64_t offset = page * kPageBytes; offset < end; offset += kSectorBytes) {
      if (random.one_in(2)) take(offset, kSectorBytes, from, to);
    }
  }

  static bool is_still(const std::pair<const std::uint64_t, std::string>& lost,
                       std::string_view now) {
    return page_of(now, lost.first) == lost.second;
  }

  std::uint64_t size_after_power_cut(std::uint64_t now, Random& random) const {
    const std::uint64_t least = std::min<std::uint64_t>(disk_.size(), now);
    const std::uint64_t most = std::max<std::uint64_t>(disk_.size(), now);
    switch (random.below(3)) {
      case 0:
        return least;
      case 1:
        return most;
      default:
        return least + random.below(most - least + 1);
    }
  }

  int cache_;
  std::uint64_t size_ = 0;
  std::string disk_;
  // By number, pages of which a sync() failed, and what was in them: not on the disk and clean.
  std::map<std::uint64_t, std::string> lost_pages_;
};

// A directory: its names, and those on the disk.
class FakeFiles::Directory {
 public:
  const std::map<std::string, Entry>& names() const { return names_; }

  Entry find(const std::string& name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? Entry() : found->second;
  }

  void add(const std::string& name, const Entry& entry) { change("", name, entry); }
  void remove(const std::string& name) { change(name, "", {}); }
  void rename(const std::string& from, const std::string& to) { change(from, to, find(from)); }

  void sync() {
    disk_ = names_;
    changes_.clear();
  }

  void put(const std::string& name, const Entry& entry) {
    for (Change& change : changes_) {
      if (change.removed == name) change.removed.clear();
      if (change.added == name) change.added.clear();
    }
    names_[name] = entry;
    disk_[name] = entry;
  }

  void power_cut(Random& random) {
    draw_survivors(random);
    names_ = disk_;
    for (const Change& change : changes_) {
      if (change.survives) apply(change);
    }
    sync();
  }

 private:
  // One of the names may be empty.
  struct Change {
    std::string removed;
    std::string added;
    Entry entry;
    bool was_free = false;  // the added name
    bool survives = false;
  };

  void change(const std::string& removed, const std::string& added, const Entry& entry) {
    changes_.push_back({removed, added, entry, !names_.contains(added)});
    apply(changes_.back());
  }

  void apply(const Change& change) {
    if (!change.removed.empty()) names_.erase(change.removed);
    if (!change.added.empty()) names_[change.added] = change.entry;
  }

  void draw_survivors(Random& random) {
    Luck luck(random);
    // Where a name was given again, the change that had made it free cannot be lost.
    std::set<std::string> given_again;
    for (auto change = changes_.rbegin(); change != changes_.rend(); ++change) {
      const bool must_survive = given_again.erase(change->removed) > 0;
      change->survives = must_survive || luck.survives();
      if (!change->survives || change->added.empty()) continue;
      if (change->was_free) given_again.insert(change->added);
      if (!must_survive && luck.tears()) change->removed.clear();
    }
  }

  std::map<std::string, Entry> names_;
  std::map<std::string, Entry> disk_;
  std::vector<Change> changes_;  // that make names_ of disk_
};

class FakeFiles::OpenFile final : public File {
 public:
  OpenFile(FakeFiles& files, std::string path, bool writable)
      : files_(files), path_(std::move(path)), writable_(writable) {}

  ~OpenFile() override {
    const MutexLock lock(files_.mutex_);
    const auto open = files_.open_.find(this);
    if (open == files_.open_.end()) return;
    const auto locked = files_.locks_.find(open->second.get());
    if (locked != files_.locks_.end() && locked->second == this) files_.locks_.erase(locked);
    files_.open_.erase(open);
  }

  Status reserve(std::uint64_t bytes) override {
    const MutexLock lock(files_.mutex_);
    auto file = begin(Call::reserve);
    if (!file.ok()) return file.status();
    const std::uint64_t fitting = files_.fitting(**file, bytes);
    if (fitting > (*file)->size()) (*file)->resize(fitting);
    return fitting < bytes ? failure(path_, ENOSPC) : Status();
  }

  Result<std::uint64_t> size() override {
    const MutexLock lock(files_.mutex_);
    auto file = alive();
    if (!file.ok()) return file.status();
    return (*file)->size();
  }

  Result<std::size_t> read(std::uint64_t offset, char* buffer, std::size_t bytes) override {
    const MutexLock lock(files_.mutex_);
    auto file = begin(Call::read);
    if (!file.ok()) return file.status();
    return (*file)->read(offset, buffer, bytes);
  }

  Status write(std::uint64_t offset, std::string_view bytes) override {
    const MutexLock lock(files_.mutex_);
    auto file = begin(Call::write);
    if (!file.ok()) return file.status();
    const std::uint64_t fitting = files_.fitting(**file, offset + bytes.size());
    const std::uint64_t count = fitting > offset ? fitting - offset : 0;
    (*file)->write(offset, bytes.substr(0, count));
    return count < bytes.size() ? failure(path_, ENOSPC) : Status();
  }

  bool try_write(std::uint64_t offset, std::string_view bytes) override {
    return write(offset, bytes).ok();
  }

  Status sync() override {
    const MutexLock lock(files_.mutex_);
    auto file = alive();
    if (!file.ok()) return file.status();
    Status status = files_.begin(Call::sync, path_);
    status.ok() ? (*file)->sync() : (*file)->fail_sync();
    return status;
  }

  char* map(std::size_t bytes) override {
    const MutexLock lock(files_.mutex_);
    if (!begin(Call::map).ok() || !writable_) return nullptr;
    const auto file = files_.open_.at(this);
    char* memory = file->map(bytes);
    if (memory != nullptr) files_.mappings_[memory] = {file, bytes};
    return memory;
  }

  void unmap(char* memory, std::size_t bytes) override {
    const MutexLock lock(files_.mutex_);
    files_.mappings_.erase(memory);
    ::munmap(memory, bytes);
  }

  bool try_lock() override {
    const MutexLock lock(files_.mutex_);
    auto file = begin(Call::lock);
    return file.ok() && files_.locks_.emplace(*file, this).first->second == this;
  }

  void close_in_child() override {
    const MutexLock lock(files_.mutex_);
    const auto open = files_.open_.find(this);
    if (open == files_.open_.end()) return;
    const auto locked = files_.locks_.find(open->second.get());
    if (locked != files_.locks_.end() && locked->second == this) locked->second = nullptr;
    files_.open_.erase(open);
  }

 private:
  Result<Contents*> alive() const REQUIRES(files_.mutex_) {
    const auto open = files_.open_.find(this);
    if (open == files_.open_.end()) return Status::unavailable(path_ + ": its process is dead");
    return open->second.get();
  }

  Result<Contents*> begin(Call call) const REQUIRES(files_.mutex_) {
    if (auto status = files_.begin(call, path_); !status.ok()) return status;
    const bool writes = call == Call::reserve || call == Call::write;
    if (writes && !writable_) return failure(path_, EBADF);
    return alive();
  }

  FakeFiles& files_;
  const std::string path_;
  const bool writable_;
};

// Calls visit(path, contents) for each file below.
template <typename Visit>
void FakeFiles::for_each_file(const Directory& directory, const std::string& path,
                              const Visit& visit) {
  for (const auto& [name, entry] : directory.names()) {
    if (entry.directory) {
      for_each_file(*entry.directory, path + name + "/", visit);
    } else {
      visit(path + name, *entry.file);
    }
  }
}

FakeFiles::FakeFiles() : root_(std::make_shared<Directory>()) {}
FakeFiles::~FakeFiles() = default;

void FakeFiles::kill(const WhileDown& while_down) {
  {
    const MutexLock lock(mutex_);
    std::set<Contents*> mapped;
    for (const auto& [memory, mapping] : mappings_) mapped.insert(mapping.file.get());
    for (Contents* file : mapped) file->detach();
    end_life();
  }
  restart(while_down);
}

void FakeFiles::power_cut(Random& random, const WhileDown& while_down) {
  {
    const MutexLock lock(mutex_);
    std::set<Contents*> done;
    power_cut(*root_, random, done);
    end_life();
  }
  restart(while_down);
}

void FakeFiles::power_cut(Directory& directory, Random& random, std::set<Contents*>& done) {
  directory.power_cut(random);
  for (const auto& [name, entry] : directory.names()) {
    if (entry.directory) {
      power_cut(*entry.directory, random, done);
    } else if (done.insert(entry.file.get()).second) {
      entry.file->power_cut(random);
    }
  }
}

void FakeFiles::end_life() {
  down_ = true;
  open_.clear();
  locks_.clear();
  mappings_.clear();
}

void FakeFiles::restart(const WhileDown& while_down) {
  if (while_down) while_down();
  const MutexLock lock(mutex_);
  down_ = false;
}

void FakeFiles::fail(Call call, std::uint64_t times, int error, std::uint64_t after) {
  const MutexLock lock(mutex_);
  faults_[static_cast<std::size_t>(call)] = {.after = after, .times = times, .error = error};
}

std::uint64_t FakeFiles::calls(Call call) const {
  const MutexLock lock(mutex_);
  return calls_[static_cast<std::size_t>(call)];
}

void FakeFiles::set_capacity(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  capacity_ = bytes;
}

std::uint64_t FakeFiles::used_bytes() const {
  const MutexLock lock(mutex_);
  return used();
}

void FakeFiles::set_keeps_reservations(bool keeps) {
  const MutexLock lock(mutex_);
  keeps_reservations_ = keeps;
}

std::string FakeFiles::read_file(const std::string& path) const {
  const MutexLock lock(mutex_);
  return file_at(path).bytes();
}

void FakeFiles::write_file(const std::string& path, std::string_view bytes) {
  const MutexLock lock(mutex_);
  const Place place = find_place(path);
  if (!place.parent) throw std::out_of_range(path + ": its directory is not there");
  Entry entry = place.parent->find(place.name);
  if (entry.directory) throw std::out_of_range(path + ": a directory");
  if (!entry.file) entry.file = std::make_shared<Contents>();
  entry.file->put(bytes);
  place.parent->put(place.name, entry);
}

void FakeFiles::flip_bit(const std::string& path, std::uint64_t bit) {
  const MutexLock lock(mutex_);
  file_at(path).flip_bit(bit);
}

void FakeFiles::truncate(const std::string& path, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  file_at(path).truncate(bytes);
}

std::vector<std::string> FakeFiles::paths() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> paths;
  for_each_file(*root_, "/", [&](const std::string& path, const auto&) { paths.push_back(path); });
  return paths;
}

Result<std::unique_ptr<File>> FakeFiles::open(const std::string& path, Open how) {
  const MutexLock lock(mutex_);
  if (auto status = begin(Call::open, path); !status.ok()) return status;
  const Place place = find_place(path);
  if (!place.parent) return failure(path, ENOENT);
  Entry entry = place.parent->find(place.name);
  if (entry.directory) return failure(path, EISDIR);
  if (how == Open::to_create) {
    if (entry.file) return failure(path, EEXIST);
    entry.file = std::make_shared<Contents>();
    place.parent->add(place.name, entry);
  }
  if (!entry.file) return failure(path, ENOENT);
  auto file = std::make_unique<OpenFile>(*this, path, how != Open::to_read);
  open_[file.get()] = entry.file;
  return std::unique_ptr<File>(std::move(file));
}

Status FakeFiles::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  if (auto status = begin(Call::rename, from); !status.ok()) return status;
  const Place old_place = find_place(from);
  const Place new_place = find_place(to);
  const Entry entry = find(from);
  if (entry == Entry() || !new_place.parent) return failure(from, ENOENT);
  if (old_place.parent != new_place.parent) return failure(from, EXDEV);
  const Entry replaced = find(to);
  if (replaced.directory || (entry.directory && replaced.file)) return failure(from, EEXIST);
  if (from != to) old_place.parent->rename(old_place.name, new_place.name);
  return {};
}

Status FakeFiles::remove(const std::string& path) {
  const MutexLock lock(mutex_);
  if (auto status = begin(Call::remove, path); !status.ok()) return status;
  const Entry entry = find(path);
  if (entry.directory) return failure(path, EISDIR);
  if (!entry.file) return failure(path, ENOENT);
  const Place place = find_place(path);
  place.parent->remove(place.name);
  return {};
}

Status FakeFiles::make_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  if (auto status = begin(Call::make_directory, path); !status.ok()) return status;
  if (find(path) != Entry()) return failure(path, EEXIST);
  const Place place = find_place(path);
  if (!place.parent) return failure(path, ENOENT);
  place.parent->add(place.name, {.file = {}, .directory = std::make_shared<Directory>()});
  return {};
}

Status FakeFiles::remove_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  const auto directory = begin(Call::remove_directory, path, find(path));
  if (!directory.ok()) return directory.status();
  const Place place = find_place(path);
  if (!place.parent) return failure(path, EBUSY);
  if (!(*directory)->names().empty()) return failure(path, ENOTEMPTY);
  place.parent->remove(place.name);
  return {};
}

Result<std::vector<std::string>> FakeFiles::list(const std::string& path) {
  const MutexLock lock(mutex_);
  const auto directory = begin(Call::list, path, find(path));
  if (!directory.ok()) return directory.status();
  std::vector<std::string> names;
  for (const auto& [name, entry] : (*directory)->names()) names.push_back(name);
  return names;
}

Status FakeFiles::sync_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  const auto directory = begin(Call::sync_directory, path, find(path));
  if (!directory.ok()) return directory.status();
  (*directory)->sync();
  return {};
}

Status FakeFiles::check_private_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  if (down_) return Status::invalid_argument(path + ": the machine is down");
  const Entry entry = find(path);
  if (entry.file) return Status::invalid_argument(path + " is not a directory");
  if (!entry.directory) return Status::invalid_argument(path + ": " + std::strerror(ENOENT));
  return {};
}

bool FakeFiles::keeps_reservations(const std::string& directory) {
  const MutexLock lock(mutex_);
  return !down_ && keeps_reservations_ && find(directory).directory != nullptr;
}

Status FakeFiles::begin(Call call, const std::string& path) {
  const auto index = static_cast<std::size_t>(call);
  ++calls_[index];
  if (down_) return Status::unavailable(path + ": the machine is down");
  Fault& fault = faults_[index];
  if (fault.times == 0) return {};
  if (fault.after > 0) {
    --fault.after;
    return {};
  }
  if (fault.times != kForever) --fault.times;
  return failure(path, fault.error);
}

Result<FakeFiles::Directory*> FakeFiles::begin(Call call, const std::string& path,
                                               const Entry& entry) {
  if (auto status = begin(call, path); !status.ok()) return status;
  if (entry.file) return failure(path, ENOTDIR);
  if (!entry.directory) return failure(path, ENOENT);
  return entry.directory.get();
}

FakeFiles::Place FakeFiles::find_place(const std::string& path) const {
  Entry entry{.file = {}, .directory = root_};
  Place place;
  std::istringstream names(path);
  for (std::string name; std::getline(names, name, '/');) {
    if (name.empty()) continue;
    place = {.parent = entry.directory, .name = name};
    entry = place.parent ? place.parent->find(name) : Entry();
  }
  return path.starts_with('/') ? place : Place();
}

FakeFiles::Entry FakeFiles::find(const std::string& path) const {
  if (path == "/") return {.file = {}, .directory = root_};
  const Place place = find_place(path);
  return place.parent ? place.parent->find(place.name) : Entry();
}

FakeFiles::Contents& FakeFiles::file_at(const std::string& path) const {
  const Entry entry = find(path);
  if (!entry.file) throw std::out_of_range(path + ": no file");
  return *entry.file;
}

std::uint64_t FakeFiles::used() const {
  std::set<const Contents*> files;
  for_each_file(*root_, "/", [&](const auto&, const Contents& file) { files.insert(&file); });
  for (const auto& [open, file] : open_) files.insert(file.get());
  for (const auto& [memory, mapping] : mappings_) files.insert(mapping.file.get());
  std::uint64_t bytes = 0;
  for (const Contents* file : files) bytes += whole_pages(file->size());
  return bytes;
}

std::uint64_t FakeFiles::fitting(const Contents& file, std::uint64_t wanted) const {
  if (whole_pages(wanted) <= whole_pages(file.size()) || capacity_ == kForever) return wanted;
  const std::uint64_t others = used() - whole_pages(file.size());
  const std::uint64_t room = others < capacity_ ? capacity_ - others : 0;
  return std::max(file.size(), std::min(wanted, room / kPageBytes * kPageBytes));
}

}  // namespace log_aggregator::testing
