#include "journal/sqlite/read_pool.h"

namespace perdure::journal::sqlite {

ReadPool::ReadPool(const std::string& path, std::size_t connections, const std::string& vfs)
    : short_(std::make_unique<Connection>(path, Access::kRead, vfs)) {
  for (std::size_t i = 1; i < connections; ++i)
    free_.push_back(std::make_unique<Connection>(path, Access::kRead, vfs));
}

ReadPool::Lease::Lease(ReadPool& from) : pool(from) {
  std::unique_lock lock(pool.mutex_);
  pool.free_again_.wait(lock, [this] { return !pool.free_.empty(); });
  connection = std::move(pool.free_.back());
  pool.free_.pop_back();
}

ReadPool::Lease::~Lease() {
  {
    std::lock_guard lock(pool.mutex_);
    pool.free_.push_back(std::move(connection));
  }
  pool.free_again_.notify_one();
}

}  // namespace perdure::journal::sqlite
