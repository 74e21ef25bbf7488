#include "metafetch/cpp/session.hpp"

#include "metafetch/cpp/alerts.hpp"
#include "metafetch/cpp/dht_plugin.hpp"
#include "metafetch/cpp/events.hpp"
#include "metafetch/cpp/metadata_plugin.hpp"
#include "metafetch/cpp/settings.hpp"
#include "metafetch/src/libtorrent/bridge.rs.h"

#include <algorithm>
#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/alert.hpp>
#include <libtorrent/bdecode.hpp>
#include <libtorrent/disabled_disk_io.hpp>
#include <libtorrent/entry.hpp>
#include <libtorrent/extensions/ut_pex.hpp>
#include <libtorrent/ip_filter.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/torrent_handle.hpp>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace metafetch {
namespace {

/// Ranges of addresses that no peer on the public Internet has.
constexpr char const* const local_ranges[][2] = {
    {"0.0.0.0", "0.255.255.255"},
    {"10.0.0.0", "10.255.255.255"},
    {"100.64.0.0", "100.127.255.255"},
    {"127.0.0.0", "127.255.255.255"},
    {"169.254.0.0", "169.254.255.255"},
    {"172.16.0.0", "172.31.255.255"},
    {"192.0.0.0", "192.0.0.255"},
    {"192.0.2.0", "192.0.2.255"},
    {"192.168.0.0", "192.168.255.255"},
    {"198.18.0.0", "198.19.255.255"},
    {"198.51.100.0", "198.51.100.255"},
    {"203.0.113.0", "203.0.113.255"},
    {"224.0.0.0", "255.255.255.255"},
    {"::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
};

lt::ip_filter without_local() {
    lt::ip_filter filter;
    for (auto const& range : local_ranges)
        filter.add_rule(lt::make_address(range[0]), lt::make_address(range[1]),
                        lt::ip_filter::blocked);
    return filter;
}

lt::address to_address(Peer const& peer) {
    lt::address_v6::bytes_type bytes;
    std::copy(peer.ip.begin(), peer.ip.end(), bytes.begin());
    lt::address_v6 const ip(bytes);
    if (ip.is_v4_mapped())
        return lt::make_address_v4(lt::v4_mapped, ip);
    return ip;
}

lt::tcp::endpoint to_endpoint(Peer const& peer) {
    return {to_address(peer), peer.port};
}

lt::sha1_hash to_hash(rust::Slice<std::uint8_t const> bytes) {
    if (bytes.size() != std::size_t{lt::sha1_hash::size()})
        throw std::invalid_argument("a point of the DHT's key space has 20 bytes");
    return lt::sha1_hash(reinterpret_cast<char const*>(bytes.data()));
}

/// What the DHT begins with: an earlier run's node ids and nodes, or else the id that was chosen.
lt::dht::dht_state to_dht_state(DhtStart const& start) {
    if (!start.state.empty())
        return lt::read_session_params({reinterpret_cast<char const*>(start.state.data()),
                                        static_cast<std::ptrdiff_t>(start.state.size())},
                                       lt::session_handle::save_dht_state)
            .dht_state;
    lt::dht::dht_state state;
    if (start.node_id.empty())
        return state;
    auto const id = to_hash({start.node_id.data(), start.node_id.size()});
    for (auto const& local : start.local)
        state.nids.emplace_back(to_address(local), id);
    return state;
}

lt::session_params to_params(rust::Slice<Setting const> settings, bool block_local,
                             DhtStart const& dht, DhtObserver& observer) {
    // An empty list of plugins: neither the stock `ut_metadata` nor `smart_ban` nor `ut_pex`.
    lt::session_params params(to_pack(settings), {});
    params.disk_io_constructor = lt::disabled_disk_io_constructor;
    if (block_local)
        params.ip_filter = without_local();
    params.dht_state = to_dht_state(dht);
    if (dht.observe)
        params.dht_storage_constructor = observer.storage();
    return params;
}

/// Dials now rather than at the session's next tick: resuming does that. `on_pause` of our plugin
/// keeps the pause from closing connections.
void dial_now(lt::torrent_handle const& handle) {
    handle.pause();
    handle.resume();
}

void add_peers(lt::torrent_handle const& handle, rust::Slice<Peer const> peers) {
    // From any other source than `resume_data` libtorrent would also ping the address as a DHT
    // node.
    for (auto const& peer : peers)
        handle.connect_peer(to_endpoint(peer), lt::peer_info::resume_data,
                            lt::pex_utp | lt::pex_holepunch);
}

} // namespace

struct Session::State {
    State(rust::Slice<Setting const> settings, Limits const& peer_limits, bool block_local,
          DhtStart const& dht)
        : queue(std::make_shared<EventQueue>()),
          observations(std::make_shared<Observations>(dht.observed_per_source, queue)),
          observer(observations, dht.observe_all), limits(peer_limits),
          session(std::in_place, to_params(settings, block_local, dht, observer)) {
        session->add_extension(tracker_alerts(queue));
        if (dht.observe)
            session->add_extension(observer.plugin());
        session->set_alert_notify([queue = queue] { queue->wake(); });
    }

    lt::session& open() {
        if (!session)
            throw std::runtime_error("the libtorrent session is closed");
        return *session;
    }

    lt::torrent_handle find(std::uint64_t key) {
        auto const found = torrents.find(key);
        if (found == torrents.end())
            throw std::invalid_argument("no such torrent in the libtorrent session");
        return found->second;
    }

    std::shared_ptr<EventQueue> queue;
    std::shared_ptr<Observations> observations;
    DhtObserver observer;
    Limits const limits;
    std::mutex mutex;
    std::optional<lt::session> session;
    // In the order of adding: from the back is the cheap end to remove from.
    std::map<std::uint64_t, lt::torrent_handle> torrents;
};

Session::Session(rust::Slice<Setting const> settings, Limits const& limits, bool block_local,
                 DhtStart const& dht)
    : m_state(std::make_unique<State>(settings, limits, block_local, dht)) {}

Session::~Session() = default;

std::int32_t Session::event_fd() const noexcept {
    return m_state->queue->fd();
}

void Session::drain(rust::Vec<Event>& events, DhtTraffic& traffic) const {
    // Alerts are popped first and handed on last: what a plugin said before an alert was posted
    // (the peers before the tracker's reply) comes before it.
    std::vector<Event> from_alerts;
    {
        std::lock_guard<std::mutex> lock(m_state->mutex);
        if (m_state->session) {
            // The pointers die with the next call of pop_alerts.
            std::vector<lt::alert*> alerts;
            m_state->session->pop_alerts(&alerts);
            for (auto const* alert : alerts)
                convert(*alert, from_alerts);
        }
    }
    m_state->observations->take(traffic);
    auto waiting = m_state->queue->take();
    events.reserve(events.size() + waiting.size() + from_alerts.size());
    for (auto& event : waiting)
        events.push_back(std::move(event));
    for (auto& event : from_alerts)
        events.push_back(std::move(event));
}

void Session::add(Torrent const& torrent) const {
    lt::add_torrent_params params;
    if (torrent.v1.size() == std::size_t{lt::sha1_hash::size()})
        params.info_hashes.v1.assign(reinterpret_cast<char const*>(torrent.v1.data()));
    if (torrent.v2.size() == std::size_t{lt::sha256_hash::size()})
        params.info_hashes.v2.assign(reinterpret_cast<char const*>(torrent.v2.data()));
    // Never written: the session has no disk.
    params.save_path = "/nonexistent";
    params.flags = lt::torrent_flags::default_dont_download | lt::torrent_flags::paused |
                   lt::torrent_flags::disable_dht | lt::torrent_flags::duplicate_is_error |
                   lt::torrent_flags::apply_ip_filter;
    if (!torrent.lsd)
        params.flags |= lt::torrent_flags::disable_lsd;
    if (!torrent.pex)
        params.flags |= lt::torrent_flags::disable_pex;
    for (auto const& tracker : torrent.trackers)
        params.trackers.push_back(static_cast<std::string>(tracker));
    params.userdata =
        lt::client_data_t(reinterpret_cast<TorrentKey*>(static_cast<std::uintptr_t>(torrent.key)));
    params.extensions.push_back(metadata_plugin(torrent.key, params.info_hashes, m_state->limits,
                                                !params.trackers.empty(), torrent.anonymous,
                                                m_state->queue));
    if (torrent.pex)
        params.extensions.push_back(&lt::create_ut_pex_plugin);

    // This waits for the network thread, so without the lock that `drain` needs.
    auto& session = m_state->open();
    auto const handle = session.add_torrent(std::move(params));
    try {
        add_peers(handle, {torrent.peers.data(), torrent.peers.size()});
        handle.resume();
        std::lock_guard<std::mutex> lock(m_state->mutex);
        m_state->torrents.emplace(torrent.key, handle);
    } catch (...) {
        session.remove_torrent(handle);
        throw;
    }
}

void Session::connect(std::uint64_t key, rust::Slice<Peer const> peers) const {
    std::lock_guard<std::mutex> lock(m_state->mutex);
    auto const handle = m_state->find(key);
    add_peers(handle, peers);
    dial_now(handle);
}

void Session::remove(std::uint64_t key) const {
    std::lock_guard<std::mutex> lock(m_state->mutex);
    auto const handle = m_state->find(key);
    m_state->torrents.erase(key);
    m_state->open().remove_torrent(handle);
}

void Session::apply(rust::Slice<Setting const> settings) const {
    std::lock_guard<std::mutex> lock(m_state->mutex);
    m_state->open().apply_settings(to_pack(settings));
}

void Session::get_peers(rust::Slice<std::uint8_t const> infohash) const {
    auto const hash = to_hash(infohash);
    std::lock_guard<std::mutex> lock(m_state->mutex);
    m_state->open().dht_get_peers(hash);
}

void Session::ask(rust::Slice<DhtRequest const> requests) const {
    std::lock_guard<std::mutex> lock(m_state->mutex);
    auto& session = m_state->open();
    for (auto const& request : requests) {
        lt::error_code error;
        auto const message = lt::bdecode({reinterpret_cast<char const*>(request.message.data()),
                                          static_cast<std::ptrdiff_t>(request.message.size())},
                                         error);
        if (error || message.type() != lt::bdecode_node::dict_t)
            continue;
        lt::entry query;
        query = message;
        session.dht_direct_request({to_address(request.to), request.to.port}, query,
                                   lt::client_data_t(reinterpret_cast<RequestKey*>(
                                       static_cast<std::uintptr_t>(request.key))));
    }
}

void Session::ping(rust::Slice<Peer const> nodes) const {
    std::lock_guard<std::mutex> lock(m_state->mutex);
    for (auto const& node : nodes)
        m_state->open().add_dht_node({to_address(node).to_string(), node.port});
}

void Session::post_live_nodes(rust::Slice<std::uint8_t const> node_id) const {
    auto const id = to_hash(node_id);
    std::lock_guard<std::mutex> lock(m_state->mutex);
    m_state->open().dht_live_nodes(id);
}

void Session::reopen_sockets() const {
    std::lock_guard<std::mutex> lock(m_state->mutex);
    m_state->open().reopen_network_sockets({});
}

void Session::post_dht_nodes() const {
    std::lock_guard<std::mutex> lock(m_state->mutex);
    m_state->open().post_session_stats();
    m_state->open().post_dht_stats();
}

rust::Vec<std::uint8_t> Session::dht_state() const {
    auto const params = m_state->open().session_state(lt::session_handle::save_dht_state);
    auto const bytes = lt::write_session_params_buf(params, lt::session_handle::save_dht_state);
    return copied({reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size()});
}

void Session::close() const {
    std::optional<lt::session_proxy> ending;
    {
        std::lock_guard<std::mutex> lock(m_state->mutex);
        if (!m_state->session)
            return;
        auto& torrents = m_state->torrents;
        for (auto it = torrents.rbegin(); it != torrents.rend(); ++it) {
            try {
                m_state->session->remove_torrent(it->second);
            } catch (std::exception const&) {
                // Gone already; the session's end takes the others with it.
            }
        }
        torrents.clear();
        ending.emplace(m_state->session->abort());
        m_state->session.reset();
    }
    // Its destructor waits for the network thread.
    ending.reset();
    m_state->queue->push(make_event(EventKind::Closed, 0));
}

void exit_now(std::int32_t code) {
    std::_Exit(code);
}

std::unique_ptr<Session> open_session(rust::Slice<Setting const> settings, Limits const& limits,
                                      bool block_local, DhtStart const& dht) {
    return std::make_unique<Session>(settings, limits, block_local, dht);
}

} // namespace metafetch
