#include "metafetch/cpp/alerts.hpp"

#include "metafetch/cpp/events.hpp"
#include "metafetch/src/libtorrent/bridge.rs.h"

#include <algorithm>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/extensions.hpp>
#include <libtorrent/session_stats.hpp>
#include <libtorrent/torrent_handle.hpp>
#include <string>

namespace metafetch {
namespace {

std::uint64_t key_of(lt::torrent_alert const& alert) {
    return reinterpret_cast<std::uintptr_t>(alert.handle.userdata().get<TorrentKey>());
}

bool is_udp(lt::socket_type_t type) {
    return type == lt::socket_type_t::utp || type == lt::socket_type_t::utp_ssl;
}

Event listening(lt::listen_succeeded_alert const& alert) {
    auto event = make_event(EventKind::Listening, 0);
    event.peer = to_peer(alert.address, static_cast<std::uint16_t>(alert.port));
    event.number = is_udp(alert.socket_type) ? 1 : 0;
    return event;
}

Event listen_failed(lt::listen_failed_alert const& alert) {
    auto event = make_event(EventKind::ListenFailed, 0);
    event.peer = to_peer(alert.address, static_cast<std::uint16_t>(alert.port));
    event.number = is_udp(alert.socket_type) ? 1 : 0;
    event.code = alert.error.value();
    assign(event, alert.listen_interface(), alert.error.message());
    return event;
}

Event tracker_reply(lt::tracker_reply_alert const& alert) {
    auto event = make_event(EventKind::TrackerReply, key_of(alert));
    event.number = alert.num_peers;
    assign(event, alert.tracker_url());
    return event;
}

Event tracker_error(lt::tracker_error_alert const& alert) {
    auto event = make_event(EventKind::TrackerError, key_of(alert));
    std::string const reason = alert.failure_reason();
    // The tracker has answered, if only that it does not want this torrent.
    event.number = reason.empty() ? 0 : 1;
    assign(event, alert.tracker_url(), reason.empty() ? alert.error.message() : reason);
    return event;
}

/// Takes tracker alerts on the network thread. Asking a handle for its torrent's key elsewhere
/// could make that thread the one that frees a torrent which has just been removed.
class TrackerAlerts final : public lt::plugin {
  public:
    explicit TrackerAlerts(std::shared_ptr<EventQueue> queue) : m_queue(std::move(queue)) {}

    lt::feature_flags_t implemented_features() override { return alert_feature; }

    void on_alert(lt::alert const* alert) override {
        if (auto const* reply = lt::alert_cast<lt::tracker_reply_alert>(alert))
            m_queue->push(tracker_reply(*reply));
        else if (auto const* error = lt::alert_cast<lt::tracker_error_alert>(alert))
            m_queue->push(tracker_error(*error));
    }

  private:
    std::shared_ptr<EventQueue> m_queue;
};

void append(std::string& bytes, std::uint16_t number) {
    bytes.push_back(static_cast<char>(number >> 8));
    bytes.push_back(static_cast<char>(number & 0xff));
}

template <class Endpoint> void append(std::string& bytes, Endpoint const& endpoint) {
    auto const peer = to_peer(endpoint.address(), endpoint.port());
    bytes.append(peer.ip.begin(), peer.ip.end());
    append(bytes, peer.port);
}

rust::Vec<std::uint8_t> to_vec(std::string const& bytes) {
    return copied({reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size()});
}

Event dht_answer(lt::dht_direct_response_alert const& alert) {
    auto event = make_event(EventKind::DhtAnswer, 0);
    event.number = static_cast<std::int64_t>(
        reinterpret_cast<std::uintptr_t>(alert.userdata.get<RequestKey>()));
    event.peer = to_peer(alert.endpoint.address(), alert.endpoint.port());
    auto const response = alert.response();
    if (response.type() != lt::bdecode_node::none_t) {
        auto const bytes = response.data_section();
        event.data = copied({reinterpret_cast<std::uint8_t const*>(bytes.data()),
                             static_cast<std::size_t>(bytes.size())});
    }
    return event;
}

Event dht_live_nodes(lt::dht_live_nodes_alert const& alert) {
    auto event = make_event(EventKind::DhtLiveNodes, 0);
    std::string bytes = alert.node_id.to_string();
    for (auto const& node : alert.nodes()) {
        bytes.append(node.first.data(), std::size_t{lt::sha1_hash::size()});
        append(bytes, node.second);
    }
    event.data = to_vec(bytes);
    return event;
}

Event dht_id(lt::dht_stats_alert const& alert) {
    auto event = make_event(EventKind::DhtId, 0);
    event.data = to_vec(alert.nid.to_string());
    event.peer = to_peer(alert.local_endpoint.address(), alert.local_endpoint.port());
    return event;
}

std::int64_t counter(lt::session_stats_alert const& alert, int metric) {
    auto const counters = alert.counters();
    bool const known = metric >= 0 && metric < static_cast<int>(counters.size());
    return known ? counters[metric] : 0;
}

Event dht_nodes(lt::session_stats_alert const& alert) {
    static int const nodes = lt::find_metric_idx("dht.dht_nodes");
    static int const messages_in = lt::find_metric_idx("dht.dht_messages_in");
    auto event = make_event(EventKind::DhtNodes, 0);
    event.number = counter(alert, nodes);
    event.micros = static_cast<std::uint64_t>(counter(alert, messages_in));
    return event;
}

Event dht_failed(lt::dht_error_alert const& alert) {
    auto event = make_event(EventKind::DhtFailed, 0);
    assign(event, {}, alert.error.message());
    return event;
}

Event dropped(lt::alerts_dropped_alert const& alert) {
    auto event = make_event(EventKind::AlertsDropped, 0);
    event.number = static_cast<std::int64_t>(alert.dropped_alerts.count());
    return event;
}

} // namespace

Peer to_peer(lt::address const& ip, std::uint16_t port) {
    Peer peer{};
    auto const bytes = ip.is_v4() ? lt::make_address_v6(lt::v4_mapped, ip.to_v4()).to_bytes()
                                  : ip.to_v6().to_bytes();
    std::copy(bytes.begin(), bytes.end(), peer.ip.begin());
    peer.port = port;
    return peer;
}

void convert(lt::alert const& alert, std::vector<Event>& events) {
    switch (alert.type()) {
    case lt::listen_succeeded_alert::alert_type:
        return events.push_back(listening(static_cast<lt::listen_succeeded_alert const&>(alert)));
    case lt::listen_failed_alert::alert_type:
        return events.push_back(listen_failed(static_cast<lt::listen_failed_alert const&>(alert)));
    case lt::dht_direct_response_alert::alert_type:
        return events.push_back(
            dht_answer(static_cast<lt::dht_direct_response_alert const&>(alert)));
    case lt::dht_live_nodes_alert::alert_type:
        return events.push_back(
            dht_live_nodes(static_cast<lt::dht_live_nodes_alert const&>(alert)));
    case lt::dht_stats_alert::alert_type:
        return events.push_back(dht_id(static_cast<lt::dht_stats_alert const&>(alert)));
    case lt::dht_bootstrap_alert::alert_type:
        return events.push_back(make_event(EventKind::DhtBootstrapped, 0));
    case lt::dht_error_alert::alert_type:
        return events.push_back(dht_failed(static_cast<lt::dht_error_alert const&>(alert)));
    case lt::session_stats_alert::alert_type:
        return events.push_back(dht_nodes(static_cast<lt::session_stats_alert const&>(alert)));
    case lt::alerts_dropped_alert::alert_type:
        return events.push_back(dropped(static_cast<lt::alerts_dropped_alert const&>(alert)));
    default:
        return;
    }
}

std::shared_ptr<lt::plugin> tracker_alerts(std::shared_ptr<EventQueue> queue) {
    return std::make_shared<TrackerAlerts>(std::move(queue));
}

} // namespace metafetch
