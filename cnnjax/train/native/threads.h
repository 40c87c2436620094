// Work shared among the threads that XLA computes with, so that no second pool competes with them.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "xla/ffi/api/ffi.h"

inline int Threads(const xla::ffi::ThreadPool& pool) {
  return static_cast<int>(std::max<int64_t>(1, pool.num_threads()));
}

// Calls work(0) to work(items - 1), each once, and returns when all are done. The caller works too
// and waits for items, not for helpers: where the pool is busy, or this is called by one of its own
// threads, it does everything alone.
template <class Work>
void Share(xla::ffi::ThreadPool& pool, int items, const Work& work) {
  const int helpers = std::min(items, Threads(pool)) - 1;
  if (helpers <= 0) {
    for (int i = 0; i < items; ++i) work(i);
    return;
  }
  struct State {
    std::atomic<int> next{0}, done{0};
    std::mutex mutex;
    std::condition_variable all;
  };
  auto state = std::make_shared<State>();  // A late helper finds it after the caller has gone.
  auto run = [state, items, task = &work] {
    for (int i; (i = state->next.fetch_add(1)) < items;) {
      (*task)(i);
      if (state->done.fetch_add(1) + 1 == items) {
        std::lock_guard<std::mutex> lock(state->mutex);
        state->all.notify_all();
      }
    }
  };
  for (int i = 0; i < helpers; ++i) pool.Schedule(decltype(run)(run));
  run();
  const auto finished = [&] { return state->done.load() == items; };
  for (int i = 0; i < 100 && !finished(); ++i) std::this_thread::yield();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all.wait(lock, finished);
}
