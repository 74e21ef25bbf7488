// The one queue of events, from the network thread to Rust.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace metafetch {

struct Event;
enum class EventKind : std::uint8_t;

/// An event with every field empty but its kind and torrent.
Event make_event(EventKind kind, std::uint64_t torrent);

/// `text` as Rust wants it: what is not UTF-8 is replaced.
void assign(Event& event, std::string const& text, std::string const& detail = {});

/// A queue that any thread fills and one reader empties. The eventfd is written only when the queue
/// turns from empty to non-empty, so the reader must drain the eventfd before the queue.
class EventQueue {
  public:
    EventQueue();
    ~EventQueue();
    EventQueue(EventQueue const&) = delete;
    EventQueue& operator=(EventQueue const&) = delete;

    int fd() const noexcept { return m_fd; }
    void push(Event event);
    /// Wakes the reader without an event: alerts wait.
    void wake() noexcept;
    std::vector<Event> take();

  private:
    int m_fd;
    std::mutex m_mutex;
    std::vector<Event> m_events;
};

} // namespace metafetch
