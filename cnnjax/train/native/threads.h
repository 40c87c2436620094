// Work shared among the threads that XLA computes with, so that no second pool competes with them.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

// Those threads: how many, and what has one of them do something.
struct Pool {
  int threads;
  std::function<void(std::function<void()>)> schedule;
};

// Items 0 to items - 1 of one call, which several threads take one by one.
struct Job {
  Job(int items, std::function<void(int)> work) : items(items), work(std::move(work)) {}

  const int items;
  const std::function<void(int)> work;
  std::atomic<int> next{0}, done{0};
  std::mutex mutex;
  std::condition_variable all;

  bool Finished() const { return done.load() == items; }

  void Help() {
    for (int i; (i = next.fetch_add(1)) < items;) {
      work(i);
      if (done.fetch_add(1) + 1 == items) {
        std::lock_guard<std::mutex> lock(mutex);
        all.notify_all();
      }
    }
  }

  void Wait() {
    for (int i = 0; i < 100 && !Finished(); ++i) std::this_thread::yield();
    std::unique_lock<std::mutex> lock(mutex);
    all.wait(lock, [this] { return Finished(); });
  }
};

// The jobs under way. XLA computes what does not depend on each other at once, a thread each; two
// convolutions together need twice the cache, so the second first helps the one before it.
class Jobs {
 public:
  void Add(std::shared_ptr<Job> job) {
    std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_back(std::move(job));
  }

  void Remove(const std::shared_ptr<Job>& job) {
    std::lock_guard<std::mutex> lock(mutex_);
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
  }

  void HelpAll() {
    while (const std::shared_ptr<Job> job = Open()) job->Help();
  }

 private:
  std::shared_ptr<Job> Open() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& job : jobs_)
      if (job->next.load() < job->items) return job;
    return nullptr;
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<Job>> jobs_;
};

// Calls work(0) to work(items - 1), each once, and returns when all are done. The caller works too
// and waits for items, not for helpers: where the pool is busy it does everything alone.
inline void Share(const Pool& pool, int items, const std::function<void(int)>& work) {
  static Jobs& jobs = *new Jobs;  // Never destroyed: threads may outlive what is static.
  const int helpers = std::min(items, pool.threads) - 1;
  if (helpers <= 0) {
    for (int i = 0; i < items; ++i) work(i);
    return;
  }
  jobs.HelpAll();
  const auto job = std::make_shared<Job>(items, std::cref(work));  // Late helpers find it done.
  jobs.Add(job);
  for (int i = 0; i < helpers; ++i) pool.schedule([job] { job->Help(); });
  job->Help();
  jobs.Remove(job);
  job->Wait();
}
