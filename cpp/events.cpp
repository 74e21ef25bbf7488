#include "metafetch/cpp/events.hpp"

#include "metafetch/src/libtorrent/bridge.rs.h"

#include <cerrno>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace metafetch {

Event make_event(EventKind kind, std::uint64_t torrent) {
    Event event{};
    event.kind = kind;
    event.torrent = torrent;
    event.verdict = Verdict::Disconnected;
    return event;
}

void assign(Event& event, std::string const& text, std::string const& detail) {
    event.text = rust::String::lossy(text);
    event.detail = rust::String::lossy(detail);
}

EventQueue::EventQueue() : m_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (m_fd < 0)
        throw std::system_error(errno, std::generic_category(), "eventfd");
}

EventQueue::~EventQueue() {
    ::close(m_fd);
}

void EventQueue::push(Event event) {
    bool first = false;
    {
        std::lock_guard<std::mutex> lock(m_mutex);
        first = m_events.empty();
        m_events.push_back(std::move(event));
    }
    if (first)
        wake();
}

void EventQueue::wake() noexcept {
    std::uint64_t const one = 1;
    // It fails only when the counter is full, and then the reader is awake already.
    [[maybe_unused]] auto const written = ::write(m_fd, &one, sizeof(one));
}

std::vector<Event> EventQueue::take() {
    std::lock_guard<std::mutex> lock(m_mutex);
    return std::exchange(m_events, {});
}

} // namespace metafetch
