// The blocks of one info dictionary from one peer (BEP 9): what was asked for, what came.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace metafetch {

/// Memory is taken as blocks arrive, never for the claimed size in advance. Indices come straight
/// from the wire and are checked here.
class Pieces {
  public:
    Pieces() = default;
    /// `size` bytes are claimed; the caller has checked the claim against the cap. `one_at_a_time`
    /// is for a peer that can't take another request before it has answered the last.
    Pieces(std::size_t size, bool one_at_a_time);

    std::size_t size() const noexcept { return m_size; }

    /// The next block to ask for, where the window has room.
    std::optional<std::size_t> next();
    /// Takes a block. False for one that was not asked for, came before, or has the wrong length.
    bool accept(std::int64_t index, char const* data, std::size_t length);
    /// The peer will not serve this block now: it is asked for again after the next tick. False
    /// where it was not asked for.
    bool reject(std::int64_t index);
    /// Once a tick: whether the peer has refused for the last time. Opens the next round otherwise.
    bool is_refused_again();
    /// Whether fewer than `min_rate` bytes a second came in this time.
    bool is_too_slow(std::chrono::milliseconds elapsed, std::uint32_t min_rate) const;
    bool is_empty() const noexcept { return m_received == 0; }
    bool is_complete() const noexcept { return m_arrived == m_blocks.size(); }
    /// All blocks as one, when complete. Empties this.
    std::string take();

  private:
    enum class State : std::uint8_t { missing, asked, refused, arrived };
    struct Block {
        State state = State::missing;
        std::string data;
    };

    Block* find(std::int64_t index);
    std::size_t length_of(std::size_t index) const;

    std::size_t m_size = 0;
    std::vector<Block> m_blocks;
    std::size_t m_received = 0;
    std::size_t m_arrived = 0;
    std::size_t m_asked = 0;
    std::size_t m_window = 0;
    std::size_t m_window_max = 0;
    // Blocks before this one are neither missing nor to be asked for again.
    std::size_t m_first_missing = 0;
    bool m_refused = false;
    int m_rounds_refused = 0;
};

} // namespace metafetch
