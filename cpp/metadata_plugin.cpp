#include "metafetch/cpp/metadata_plugin.hpp"

#include "metafetch/cpp/alerts.hpp"
#include "metafetch/cpp/events.hpp"
#include "metafetch/cpp/pieces.hpp"
#include "metafetch/src/libtorrent/bridge.rs.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <libtorrent/bdecode.hpp>
#include <libtorrent/bencode.hpp>
#include <libtorrent/entry.hpp>
#include <libtorrent/error_code.hpp>
#include <libtorrent/extensions.hpp>
#include <libtorrent/hasher.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/socket_io.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace metafetch {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

enum class Phase : std::uint8_t { connect, handshake, extension, transfer, verify };

/// Our id for `ut_metadata` messages, as our extension handshake announces it.
constexpr int our_message_id = 2;
/// A data message is a block of 16 KiB and a dictionary of some 50 bytes.
constexpr int max_message_size = 17 * 1024;
/// Peers that libtorrent learns and we report, for each torrent.
constexpr std::size_t max_peers_found = 1000;
/// Requests that we answer, with a reject, for each connection; the rest is ignored.
constexpr int max_answers = 64;

/// How rTorrent (the libtorrent of Rakshasa, not this one) begins its name. It lets a request lie
/// while it answers another one, until something more comes in.
constexpr char const* one_at_a_time = "libTorrent ";
/// After so long without a block the peer is sent a keep-alive, should it let a request lie.
constexpr auto nudge_after = std::chrono::milliseconds(900);

/// What the connections of one torrent share.
class Swarm {
  public:
    Swarm(std::uint64_t key, lt::info_hash_t const& hashes, Limits const& peer_limits,
          bool is_anonymous, std::shared_ptr<EventQueue> event_queue)
        : limits(peer_limits), anonymous(is_anonymous), m_key(key), m_hashes(hashes),
          m_queue(std::move(event_queue)) {}

    Event event(EventKind kind) const { return make_event(kind, m_key); }
    void push(Event event) const { m_queue->push(std::move(event)); }

    /// Whether these bytes are the info dictionary. 20 bytes may be SHA-1 or a SHA-256 cut short.
    bool matches(std::string const& info) const {
        lt::span<char const> const bytes(info);
        bool const v2_given = m_hashes.has_v2();
        auto const v2 = lt::hasher256(bytes).final();
        if (v2_given && v2 != m_hashes.v2)
            return false;
        if (!m_hashes.has_v1() || lt::hasher(bytes).final() == m_hashes.v1)
            return true;
        return !v2_given && lt::sha1_hash(v2.data()) == m_hashes.v1;
    }

    Limits const limits;
    bool const anonymous;
    /// Endpoints that have had their verdict.
    std::set<lt::tcp::endpoint> judged;
    /// Endpoints that were reported to Rust.
    std::set<lt::tcp::endpoint> found;
    int live = 0;
    bool done = false;

  private:
    std::uint64_t m_key;
    lt::info_hash_t m_hashes;
    std::shared_ptr<EventQueue> m_queue;
};

/// Takes out of an extension handshake what tells the client or an address, and leaves that PEX is
/// spoken. In place: libtorrent holds references into the dictionary while it asks its plugins.
void remove_marks(lt::entry& handshake) {
    auto keep = [](lt::entry::dictionary_type& dict, lt::string_view wanted) {
        for (auto it = dict.begin(); it != dict.end();)
            it = it->first == wanted ? std::next(it) : dict.erase(it);
    };
    keep(handshake.dict(), "m");
    keep(handshake["m"].dict(), "ut_pex");
}

/// One connection.
class PeerPlugin final : public lt::peer_plugin {
  public:
    PeerPlugin(std::shared_ptr<Swarm> swarm, lt::peer_connection_handle connection)
        : m_swarm(std::move(swarm)), m_connection(std::move(connection)),
          m_endpoint(m_connection.remote()), m_started(Clock::now()), m_entered(m_started),
          // libtorrent dials again where it should not: after a uTP timeout, and when a tracker
          // names a peer once more. Such a connection is silent, and is closed once it stands.
          m_silent(m_swarm->done || m_swarm->judged.count(m_endpoint) != 0) {
        ++m_swarm->live;
        if (!m_connection.is_outgoing())
            m_phase = Phase::handshake;
    }

    static void push_found(Swarm& swarm, lt::tcp::endpoint const& endpoint,
                           lt::peer_source_flags_t source) {
        if (swarm.found.size() >= max_peers_found || !swarm.found.insert(endpoint).second)
            return;
        auto event = swarm.event(EventKind::PeerFound);
        event.peer = to_peer(endpoint.address(), endpoint.port());
        event.number = static_cast<std::uint8_t>(source);
        swarm.push(std::move(event));
    }

    lt::string_view type() const override { return "metafetch_ut_metadata"; }

    void add_handshake(lt::entry& handshake) override {
        // What libtorrent itself has to say is in it by now; other plugins may add theirs before or
        // after.
        if (m_swarm->anonymous)
            remove_marks(handshake);
        handshake["m"]["ut_metadata"] = our_message_id;
    }

    void on_connected() override {
        if (m_silent) {
            // libtorrent never dials an address again that it takes for its own.
            m_connection.disconnect(lt::errors::self_connection, lt::operation_t::bittorrent,
                                    lt::peer_connection_interface::failure);
            return;
        }
        enter(Phase::handshake);
        m_swarm->push(event(EventKind::Connected));
    }

    bool on_handshake(lt::span<char const> reserved) override {
        if (m_silent)
            return true;
        if (!m_connection.is_outgoing())
            push_found(*m_swarm, m_endpoint, lt::peer_info::incoming);
        enter(Phase::extension);
        auto handshake = event(EventKind::Handshake);
        auto const& id = m_connection.pid();
        handshake.data = copied({reinterpret_cast<std::uint8_t const*>(id.data()),
                                 static_cast<std::size_t>(lt::peer_id::size())});
        m_swarm->push(std::move(handshake));
        if (reserved.size() != 8 || (reserved[5] & 0x10) == 0)
            judge(Verdict::NoExtensionProtocol);
        return true;
    }

    bool on_extension_handshake(lt::bdecode_node const& handshake) override {
        if (m_silent || m_phase != Phase::extension)
            return true;
        auto const claim = handshake.dict_find_int("metadata_size");
        auto extension = event(EventKind::Extension);
        extension.number = claim ? claim.int_value() : 0;
        auto const client = handshake.dict_find_string_value("v");
        assign(extension, std::string(client.begin(), client.end()).substr(0, 200));
        m_swarm->push(std::move(extension));

        auto const messages = handshake.dict_find_dict("m");
        std::int64_t const id = messages ? messages.dict_find_int_value("ut_metadata", 0) : 0;
        if (id <= 0 || id > 255 || !claim)
            judge(Verdict::NoUtMetadata);
        else if (claim.int_value() <= 0 || claim.int_value() > m_swarm->limits.max_metadata_size)
            judge(Verdict::MetadataSizeInvalid);
        else {
            m_their_message_id = static_cast<std::uint8_t>(id);
            m_pieces = Pieces(static_cast<std::size_t>(claim.int_value()),
                              client.starts_with(one_at_a_time));
            enter(Phase::transfer);
            m_progress = m_entered;
            request();
        }
        return true;
    }

    bool on_extended(int length, int message, lt::span<char const> body) override {
        if (message != our_message_id)
            return false;
        if (m_silent)
            return true;
        if (length > max_message_size) {
            judge(Verdict::ProtocolViolation, "a ut_metadata message is too long");
            return true;
        }
        if (!lt::bt_peer_connection_handle(m_connection).packet_finished())
            return true;
        lt::error_code ec;
        // Data follows the dictionary, so an error here may only mean that the dictionary has
        // ended.
        auto const dict = lt::bdecode(body, ec, nullptr, 10, 100);
        auto const kind = dict.type() == lt::bdecode_node::dict_t ? dict.dict_find_int("msg_type")
                                                                  : lt::bdecode_node();
        auto const index = kind ? dict.dict_find_int("piece") : lt::bdecode_node();
        if (!index) {
            judge(Verdict::ProtocolViolation, "a ut_metadata message without msg_type or piece");
            return true;
        }
        switch (kind.int_value()) {
        case 0:
            if (m_their_message_id != 0 && m_answers++ < max_answers)
                send(2, index.int_value());
            break;
        case 1:
            on_data(dict, index.int_value(), body);
            break;
        case 2:
            // An answer, if not the wanted one: the number of rejects is limited, not their time.
            if (m_phase == Phase::transfer && m_pieces.reject(index.int_value()))
                m_progress = Clock::now();
            break;
        default: // BEP 9: ignore what we do not know.
            break;
        }
        return true;
    }

    void tick() override {
        if (m_silent || m_swarm->done)
            return;
        auto const& limits = m_swarm->limits;
        auto const now = Clock::now();
        auto const inside = now - m_entered;
        switch (m_phase) {
        case Phase::connect:
            if (inside >= milliseconds(limits.connect_timeout))
                judge(Verdict::ConnectTimeout);
            break;
        case Phase::handshake:
            if (inside >= milliseconds(limits.handshake_timeout))
                judge(Verdict::HandshakeTimeout);
            break;
        case Phase::extension:
            if (inside >= milliseconds(limits.extension_timeout))
                judge(Verdict::HandshakeTimeout);
            break;
        case Phase::transfer:
            if (now - m_progress >= milliseconds(limits.transfer_timeout) && !m_pieces.is_empty())
                judge(Verdict::TransferTimeout);
            else if (inside >= milliseconds(limits.first_block_timeout) && m_pieces.is_empty())
                judge(Verdict::FirstBlockTimeout);
            else if (inside >= milliseconds(limits.first_block_timeout) &&
                     m_pieces.is_too_slow(std::chrono::duration_cast<milliseconds>(inside),
                                          limits.min_rate))
                judge(Verdict::TooSlow);
            else if (m_pieces.is_refused_again())
                judge(Verdict::Rejected);
            else {
                if (now - m_progress >= nudge_after)
                    m_connection.send_buffer("\0\0\0\0", 4);
                request();
            }
            break;
        case Phase::verify:
            break;
        }
    }

    void on_disconnect(lt::error_code const& ec) override {
        --m_swarm->live;
        // The connection object lives on until libtorrent's next tick; its blocks need not.
        m_pieces = Pieces();
        bool const ours = ec == lt::errors::torrent_aborted || ec == lt::errors::torrent_removed ||
                          ec == lt::errors::torrent_paused || ec == lt::errors::session_closing;
        bool const incoming = !m_connection.is_outgoing();
        if (incoming && ec == lt::errors::self_connection)
            // The other end, which we dialled, is told apart only here.
            m_endpoint = m_connection.local_endpoint();
        else if (incoming && m_phase == Phase::handshake)
            // It never said who it is, and was not reported.
            return;
        if (m_silent || m_swarm->done || ours || m_swarm->judged.count(m_endpoint) != 0)
            return;
        m_silent = true;
        m_swarm->judged.insert(m_endpoint);
        auto failed = event(EventKind::PeerFailed);
        failed.code = ec.value();
        failed.category = ec.category().name();
        assign(failed, {}, ec.message());
        m_swarm->push(std::move(failed));
    }

  private:
    Event event(EventKind kind) const {
        auto event = m_swarm->event(kind);
        event.peer = to_peer(m_endpoint.address(), m_endpoint.port());
        event.phase = static_cast<std::uint8_t>(m_phase);
        auto const elapsed = Clock::now() - m_started;
        event.micros = static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
        return event;
    }

    void enter(Phase phase) {
        m_phase = phase;
        m_entered = Clock::now();
    }

    /// Ends the attempt. The severity makes libtorrent count a failure, so it does not dial again.
    void judge(Verdict verdict, char const* detail = "") {
        if (m_silent)
            return;
        m_silent = true;
        m_swarm->judged.insert(m_endpoint);
        auto failed = event(EventKind::PeerFailed);
        failed.verdict = verdict;
        assign(failed, {}, detail);
        m_swarm->push(std::move(failed));
        m_connection.disconnect(lt::errors::invalid_metadata_message, lt::operation_t::bittorrent,
                                lt::peer_connection_interface::failure);
    }

    void on_data(lt::bdecode_node const& dict, std::int64_t index, lt::span<char const> body) {
        if (m_phase != Phase::transfer)
            return judge(Verdict::ProtocolViolation, "data before the extension handshake");
        auto const total = dict.dict_find_int("total_size");
        auto const header = static_cast<std::size_t>(dict.data_section().size());
        auto const size = static_cast<std::size_t>(body.size());
        if ((total && total.int_value() != static_cast<std::int64_t>(m_pieces.size())) ||
            header > size || !m_pieces.accept(index, body.data() + header, size - header))
            return judge(Verdict::ProtocolViolation,
                         "data that was not asked for, or of another size than claimed");
        m_progress = Clock::now();
        if (!m_pieces.is_complete())
            return request();
        if (m_swarm->done)
            return;
        enter(Phase::verify);
        auto const info = m_pieces.take();
        if (!m_swarm->matches(info))
            return judge(Verdict::HashMismatch);
        m_swarm->done = true;
        auto metadata = event(EventKind::Metadata);
        metadata.data = copied({reinterpret_cast<std::uint8_t const*>(info.data()), info.size()});
        m_swarm->push(std::move(metadata));
    }

    void request() {
        if (m_swarm->done)
            return;
        for (auto index = m_pieces.next(); index; index = m_pieces.next())
            send(0, static_cast<std::int64_t>(*index));
    }

    void send(int kind, std::int64_t index) {
        std::string const dict =
            "d8:msg_typei" + std::to_string(kind) + "e5:piecei" + std::to_string(index) + "ee";
        auto const length = static_cast<std::uint32_t>(dict.size() + 2);
        std::string message;
        for (int shift = 24; shift >= 0; shift -= 8)
            message.push_back(static_cast<char>((length >> shift) & 0xff));
        message.push_back(20); // BEP 10: an extended message
        message.push_back(static_cast<char>(m_their_message_id));
        message += dict;
        m_connection.send_buffer(message.data(), static_cast<int>(message.size()));
    }

    std::shared_ptr<Swarm> m_swarm;
    lt::peer_connection_handle m_connection;
    lt::tcp::endpoint m_endpoint;
    Clock::time_point m_started;
    /// When the current phase began.
    Clock::time_point m_entered;
    /// When the last block came.
    Clock::time_point m_progress;
    Phase m_phase = Phase::connect;
    bool m_silent;
    std::uint8_t m_their_message_id = 0;
    int m_answers = 0;
    Pieces m_pieces;
};

class MetadataPlugin final : public lt::torrent_plugin {
  public:
    MetadataPlugin(std::shared_ptr<Swarm> swarm, bool has_trackers)
        : m_swarm(std::move(swarm)), m_has_trackers(has_trackers) {}

    std::shared_ptr<lt::peer_plugin>
    new_connection(lt::peer_connection_handle const& connection) override {
        if (connection.type() != lt::connection_type::bittorrent)
            return {};
        return std::make_shared<PeerPlugin>(m_swarm, connection);
    }

    void on_add_peer(lt::tcp::endpoint const& endpoint, lt::peer_source_flags_t source,
                     lt::add_peer_flags_t flags) override {
        bool const from_rust = source == lt::peer_info::resume_data;
        if (m_swarm->done)
            return;
        if (from_rust && (flags & filtered)) {
            // The filter, or a full peer list: it will not be dialled, and nothing else says so.
            auto refused = m_swarm->event(EventKind::PeerFailed);
            refused.peer = to_peer(endpoint.address(), endpoint.port());
            refused.code = lt::errors::banned_by_ip_filter;
            refused.category = lt::libtorrent_category().name();
            assign(refused, {}, "libtorrent refused the address");
            m_swarm->push(std::move(refused));
        } else if (!from_rust && !(flags & filtered)) {
            PeerPlugin::push_found(*m_swarm, endpoint, source);
        }
    }

    /// A pause is only ever followed by a resume, to dial at once. Let through, it would close the
    /// connections and tell the trackers; with neither it may pass, and refills the number of
    /// peers that a resume may dial.
    bool on_pause() override { return m_has_trackers || m_swarm->live > 0; }

  private:
    std::shared_ptr<Swarm> m_swarm;
    bool m_has_trackers;
};

} // namespace

std::function<std::shared_ptr<lt::torrent_plugin>(lt::torrent_handle const&, lt::client_data_t)>
metadata_plugin(std::uint64_t key, lt::info_hash_t const& hashes, Limits const& limits,
                bool has_trackers, bool anonymous, std::shared_ptr<EventQueue> queue) {
    auto swarm = std::make_shared<Swarm>(key, hashes, limits, anonymous, std::move(queue));
    return [swarm, has_trackers](lt::torrent_handle const&, lt::client_data_t) {
        return std::make_shared<MetadataPlugin>(swarm, has_trackers);
    };
}

} // namespace metafetch
