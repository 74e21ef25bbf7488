// Alerts of libtorrent, as events.
#pragma once

#include <cstdint>
#include <libtorrent/address.hpp>
#include <vector>

namespace libtorrent {
struct alert;
struct plugin;
} // namespace libtorrent

namespace metafetch {

struct Event;
class EventQueue;
struct Peer;

/// Marks a torrent's `userdata`, which carries its key.
struct TorrentKey;
/// Marks the `userdata` of a DHT request, which carries its key.
struct RequestKey;

Peer to_peer(lt::address const& ip, std::uint16_t port);

/// A session plugin that queues what trackers answer.
std::shared_ptr<lt::plugin> tracker_alerts(std::shared_ptr<EventQueue> queue);

/// Appends the event of one alert; an alert that nobody waits for is dropped.
void convert(lt::alert const& alert, std::vector<Event>& events);

} // namespace metafetch
