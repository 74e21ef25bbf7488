#include "metafetch/cpp/pieces.hpp"

#include <algorithm>

namespace metafetch {
namespace {

constexpr std::size_t block_size = 16 * 1024;

// One or two requests in flight cost a round trip each; libtorrent seeds queue what exceeds 160 KiB
// and serve it by the second.
constexpr std::size_t window_start = 10;
constexpr std::size_t window_max = 16;

/// Rounds in which a peer refused and delivered nothing, before it counts as unwilling.
constexpr int max_rounds_refused = 3;

} // namespace

Pieces::Pieces(std::size_t size, bool one_at_a_time)
    : m_size(size), m_blocks((size + block_size - 1) / block_size),
      m_window(one_at_a_time ? 1 : window_start), m_window_max(one_at_a_time ? 1 : window_max) {}

std::optional<std::size_t> Pieces::next() {
    if (m_asked >= m_window)
        return {};
    while (m_first_missing < m_blocks.size() && m_blocks[m_first_missing].state != State::missing)
        ++m_first_missing;
    if (m_first_missing == m_blocks.size())
        return {};
    m_blocks[m_first_missing].state = State::asked;
    ++m_asked;
    return m_first_missing;
}

bool Pieces::accept(std::int64_t index, char const* data, std::size_t length) {
    auto* const block = find(index);
    if (block == nullptr || block->state != State::asked ||
        length != length_of(static_cast<std::size_t>(index)))
        return false;
    block->data.assign(data, length);
    block->state = State::arrived;
    --m_asked;
    ++m_arrived;
    m_received += length;
    m_window = std::min(m_window + 1, m_window_max);
    m_rounds_refused = 0;
    return true;
}

bool Pieces::reject(std::int64_t index) {
    auto* const block = find(index);
    if (block == nullptr || block->state != State::asked)
        return false;
    block->state = State::refused;
    --m_asked;
    m_window = std::max<std::size_t>(m_window / 2, 1);
    m_refused = true;
    return true;
}

bool Pieces::is_refused_again() {
    if (!m_refused)
        return false;
    m_refused = false;
    if (++m_rounds_refused >= max_rounds_refused)
        return true;
    for (auto& block : m_blocks)
        if (block.state == State::refused)
            block.state = State::missing;
    m_first_missing = 0;
    return false;
}

bool Pieces::is_too_slow(std::chrono::milliseconds elapsed, std::uint32_t min_rate) const {
    // At most 10 MiB against years: neither side overflows 64 bits.
    auto const due = static_cast<std::uint64_t>(elapsed.count()) * min_rate;
    return static_cast<std::uint64_t>(m_received) * 1000 < due;
}

std::string Pieces::take() {
    std::string info;
    info.reserve(m_received);
    for (auto& block : m_blocks) {
        info += block.data;
        block.data = {};
    }
    return info;
}

Pieces::Block* Pieces::find(std::int64_t index) {
    if (index < 0 || static_cast<std::uint64_t>(index) >= m_blocks.size())
        return nullptr;
    return &m_blocks[static_cast<std::size_t>(index)];
}

std::size_t Pieces::length_of(std::size_t index) const {
    return std::min(block_size, m_size - index * block_size);
}

} // namespace metafetch
