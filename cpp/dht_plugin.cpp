#include "metafetch/cpp/dht_plugin.hpp"

#include "metafetch/cpp/alerts.hpp"
#include "metafetch/cpp/events.hpp"
#include "metafetch/src/libtorrent/bridge.rs.h"

#include <chrono>
#include <libtorrent/bdecode.hpp>
#include <libtorrent/entry.hpp>
#include <libtorrent/extensions.hpp>
#include <optional>
#include <utility>

namespace metafetch {
namespace {

/// Observations that may wait for the reader.
constexpr std::size_t max_waiting = 8192;
/// Sources that are told apart within one second; what comes from more is counted as flood.
constexpr std::size_t max_sources = 16384;

std::int64_t this_second() {
    using namespace std::chrono;
    return duration_cast<seconds>(steady_clock::now().time_since_epoch()).count();
}

lt::sha1_hash hash_in(lt::bdecode_node const& dict, char const* key) {
    auto const node = dict.dict_find_string(key);
    if (!node || node.string_length() != int(lt::sha1_hash::size()))
        return {};
    return lt::sha1_hash(node.string_ptr());
}

/// Our own id, which libtorrent has put into the answer before it asks the plugins.
lt::sha1_hash own_id(lt::entry const& response) {
    auto const* const reply = response.find_key("r");
    if (reply == nullptr || reply->type() != lt::entry::dictionary_t)
        return {};
    auto const* const id = reply->find_key("id");
    if (id == nullptr || id->type() != lt::entry::string_t ||
        id->string().size() != std::size_t{lt::sha1_hash::size()})
        return {};
    return lt::sha1_hash(id->string().data());
}

void append(std::string& to, lt::sha1_hash const& hash) {
    to.append(hash.data(), std::size_t{lt::sha1_hash::size()});
}

} // namespace

Observations::Observations(std::uint32_t per_source, std::shared_ptr<EventQueue> queue)
    : m_per_source(per_source), m_queue(std::move(queue)) {}

bool Observations::is_flood(lt::udp::endpoint const& from, bool announces) {
    auto const now = this_second();
    if (now != m_second) {
        m_second = now;
        m_this_second.clear();
    }
    auto const ip = from.address();
    auto const peer = to_peer(ip, from.port());
    // One host of the Internet is one source, and so is one network of IPv6; on loopback every
    // node has the same address.
    std::string source(reinterpret_cast<char const*>(peer.ip.data()), ip.is_v4() ? 16 : 8);
    if (ip.is_loopback())
        source.append(std::to_string(from.port()));
    auto const found = m_this_second.find(source);
    if (found == m_this_second.end()) {
        // Who announces has shown a token; anybody can send the rest under any address.
        if (m_this_second.size() >= max_sources)
            return !announces;
        m_this_second.emplace(std::move(source), 1);
        return m_per_source == 0;
    }
    return ++found->second > m_per_source;
}

void Observations::push(lt::sha1_hash const& infohash, lt::sha1_hash const& node,
                        lt::sha1_hash const& own, lt::udp::endpoint const& from,
                        std::uint16_t port) {
    bool const announces = port != 0;
    bool const flood = is_flood(from, announces);
    bool first = false;
    {
        std::lock_guard<std::mutex> lock(m_mutex);
        if (flood) {
            ++m_flooded;
            return;
        }
        if (m_count >= (announces ? max_waiting : max_waiting / 4 * 3)) {
            ++m_lost;
            return;
        }
        first = m_count++ == 0;
        auto const peer = to_peer(from.address(), from.port());
        append(m_entries, infohash);
        append(m_entries, node);
        append(m_entries, own);
        m_entries.append(peer.ip.begin(), peer.ip.end());
        for (auto const number : {peer.port, port}) {
            m_entries.push_back(static_cast<char>(number >> 8));
            m_entries.push_back(static_cast<char>(number & 0xff));
        }
    }
    if (first)
        m_queue->wake();
}

void Observations::take(DhtTraffic& traffic) {
    std::string entries;
    {
        std::lock_guard<std::mutex> lock(m_mutex);
        entries.swap(m_entries);
        m_count = 0;
        traffic.lost = std::exchange(m_lost, 0);
        traffic.flooded = std::exchange(m_flooded, 0);
    }
    if (!entries.empty())
        traffic.entries =
            copied({reinterpret_cast<std::uint8_t const*>(entries.data()), entries.size()});
}

/// An `announce_peer` whose token has not been checked yet.
struct Claim {
    lt::sha1_hash infohash;
    lt::sha1_hash node;
    lt::sha1_hash own;
    lt::udp::endpoint from;
};

struct DhtObserver::Shared {
    std::shared_ptr<Observations> observations;
    bool all = false;
    // Of the network thread alone.
    std::optional<Claim> claim;
};

class DhtObserver::Plugin final : public lt::plugin {
  public:
    explicit Plugin(std::shared_ptr<Shared> shared) : m_shared(std::move(shared)) {}

    lt::feature_flags_t implemented_features() override { return dht_request_feature; }

    bool on_dht_request(lt::string_view query, lt::udp::endpoint const& source,
                        lt::bdecode_node const& message, lt::entry& response) override {
        m_shared->claim.reset();
        bool const announces = query == "announce_peer";
        auto const args = message.dict_find_dict("a");
        if (!args)
            return false;
        if (query == "ping" || query == "find_node") {
            if (m_shared->all)
                m_shared->observations->push({}, hash_in(args, "id"), own_id(response), source, 0);
            return false;
        }
        if (!announces && query != "get_peers")
            return false;
        auto const infohash = hash_in(args, "info_hash");
        auto const node = hash_in(args, "id");
        if (infohash.is_all_zeros() || node.is_all_zeros())
            return false;
        auto const own = own_id(response);
        if (announces)
            m_shared->claim = Claim{infohash, node, own, source};
        else
            m_shared->observations->push(infohash, node, own, source, 0);
        return false;
    }

  private:
    std::shared_ptr<Shared> m_shared;
};

class DhtObserver::Storage final : public lt::dht::dht_storage_interface {
  public:
    Storage(std::unique_ptr<lt::dht::dht_storage_interface> storage, std::shared_ptr<Shared> shared)
        : m_storage(std::move(storage)), m_shared(std::move(shared)) {}

#if TORRENT_ABI_VERSION == 1
    std::size_t num_torrents() const override {
        return m_storage->num_torrents();
    }
    std::size_t num_peers() const override {
        return m_storage->num_peers();
    }
#endif

    void update_node_ids(std::vector<lt::dht::node_id> const& ids) override {
        m_storage->update_node_ids(ids);
    }

    bool get_peers(lt::sha1_hash const& infohash, bool noseed, bool scrape,
                   lt::address const& requester, lt::entry& peers) const override {
        return m_storage->get_peers(infohash, noseed, scrape, requester, peers);
    }

    /// Called for a good token only.
    void announce_peer(lt::sha1_hash const& infohash, lt::tcp::endpoint const& peer,
                       lt::string_view name, bool seed) override {
        m_storage->announce_peer(infohash, peer, name, seed);
        auto const claim = std::exchange(m_shared->claim, {});
        if (claim && claim->infohash == infohash && claim->from.address() == peer.address())
            m_shared->observations->push(infohash, claim->node, claim->own, claim->from,
                                         peer.port());
    }

    bool get_immutable_item(lt::sha1_hash const& target, lt::entry& item) const override {
        return m_storage->get_immutable_item(target, item);
    }

    void put_immutable_item(lt::sha1_hash const& target, lt::span<char const> bytes,
                            lt::address const& from) override {
        m_storage->put_immutable_item(target, bytes, from);
    }

    bool get_mutable_item_seq(lt::sha1_hash const& target,
                              lt::dht::sequence_number& sequence) const override {
        return m_storage->get_mutable_item_seq(target, sequence);
    }

    bool get_mutable_item(lt::sha1_hash const& target, lt::dht::sequence_number sequence, bool fill,
                          lt::entry& item) const override {
        return m_storage->get_mutable_item(target, sequence, fill, item);
    }

    void put_mutable_item(lt::sha1_hash const& target, lt::span<char const> bytes,
                          lt::dht::signature const& signature, lt::dht::sequence_number sequence,
                          lt::dht::public_key const& key, lt::span<char const> salt,
                          lt::address const& from) override {
        m_storage->put_mutable_item(target, bytes, signature, sequence, key, salt, from);
    }

    int get_infohashes_sample(lt::entry& item) override {
        return m_storage->get_infohashes_sample(item);
    }

    void tick() override {
        m_storage->tick();
    }

    lt::dht::dht_storage_counters counters() const override {
        return m_storage->counters();
    }

  private:
    std::unique_ptr<lt::dht::dht_storage_interface> m_storage;
    std::shared_ptr<Shared> m_shared;
};

DhtObserver::DhtObserver(std::shared_ptr<Observations> observations, bool all)
    : m_shared(std::make_shared<Shared>()) {
    m_shared->observations = std::move(observations);
    m_shared->all = all;
}

std::shared_ptr<lt::plugin> DhtObserver::plugin() {
    return std::make_shared<Plugin>(m_shared);
}

lt::dht::dht_storage_constructor_type DhtObserver::storage() {
    return [shared = m_shared](lt::settings_interface const& settings) {
        return std::make_unique<Storage>(lt::dht::dht_default_storage_constructor(settings),
                                         shared);
    };
}

} // namespace metafetch
