// What other DHT nodes ask of ours: every `get_peers`, and every `announce_peer` with a good token.
#pragma once

#include "rust/cxx.h"

#include <cstdint>
#include <functional>
#include <libtorrent/address.hpp>
#include <libtorrent/fwd.hpp>
#include <libtorrent/kademlia/dht_storage.hpp>
#include <libtorrent/sha1_hash.hpp>
#include <libtorrent/socket.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace metafetch {

struct DhtTraffic;
class EventQueue;

/// A bounded queue of what was observed. The network thread fills it, one reader empties it. It
/// keeps out floods: what one source sends beyond its share of a second is counted, not queued.
class Observations {
  public:
    /// `per_source` is how many a second one source may add.
    Observations(std::uint32_t per_source, std::shared_ptr<EventQueue> queue);

    /// `port` is the one that an `announce_peer` names, 0 for a `get_peers`.
    void push(lt::sha1_hash const& infohash, lt::sha1_hash const& node, lt::sha1_hash const& own,
              lt::udp::endpoint const& from, std::uint16_t port);
    /// Moves what waits into `traffic`.
    void take(DhtTraffic& traffic);

  private:
    bool is_flood(lt::udp::endpoint const& from, bool announces);

    std::uint32_t const m_per_source;
    std::shared_ptr<EventQueue> m_queue;
    // Of the network thread alone.
    std::unordered_map<std::string, std::uint32_t> m_this_second;
    std::int64_t m_second = 0;
    std::mutex m_mutex;
    std::string m_entries;
    std::size_t m_count = 0;
    std::uint64_t m_lost = 0;
    std::uint64_t m_flooded = 0;
};

/// Watches queries and leaves the answers to libtorrent.
///
/// A plugin sees a query before its token is checked, and so does `dht_announce_alert`; only the
/// storage is told after the check. So the plugin notes who asks, and the storage, which libtorrent
/// calls in the same breath, says whether the announce was good.
class DhtObserver {
  public:
    /// With `all` every `ping` and `find_node` too, as an entry whose infohash is all zeros.
    DhtObserver(std::shared_ptr<Observations> observations, bool all);

    /// The plugin, for the session.
    std::shared_ptr<lt::plugin> plugin();
    /// The storage, for the session's parameters: libtorrent's own, which is listened to.
    lt::dht::dht_storage_constructor_type storage();

  private:
    class Plugin;
    class Storage;
    struct Shared;
    std::shared_ptr<Shared> m_shared;
};

} // namespace metafetch
