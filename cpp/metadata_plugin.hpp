// Our `ut_metadata` (BEP 9): a buffer per peer, a verdict per peer, an event per peer and phase.
#pragma once

#include <cstdint>
#include <functional>
#include <libtorrent/fwd.hpp>
#include <libtorrent/info_hash.hpp>
#include <memory>

namespace metafetch {

class EventQueue;
struct Limits;

/// What makes the plugin of one torrent. `has_trackers`: a pause that is only meant to dial at once
/// must not reach the trackers. `anonymous`: extension handshakes hold the ids of messages alone.
std::function<std::shared_ptr<lt::torrent_plugin>(lt::torrent_handle const&, lt::client_data_t)>
metadata_plugin(std::uint64_t key, lt::info_hash_t const& hashes, Limits const& limits,
                bool has_trackers, bool anonymous, std::shared_ptr<EventQueue> queue);

} // namespace metafetch
