// Alerts of libtorrent, as events.
#pragma once

#include <cstdint>
#include <libtorrent/address.hpp>
#include <vector>

namespace libtorrent {
struct alert;
}

namespace metafetch {

struct Event;
struct Peer;

/// Marks a torrent's `userdata`, which carries its key.
struct TorrentKey;

Peer to_peer(lt::address const& ip, std::uint16_t port);

/// Appends the event of one alert; an alert that nobody waits for is dropped.
void convert(lt::alert const& alert, std::vector<Event>& events);

} // namespace metafetch
