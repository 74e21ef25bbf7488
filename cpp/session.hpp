// One libtorrent session. No libtorrent header is included here: cxx's generated code sees this.
#pragma once

#include "rust/cxx.h"

#include <cstdint>
#include <memory>

namespace metafetch {

struct DhtRequest;
struct DhtStart;
struct DhtTraffic;
struct Event;
struct Limits;
struct Peer;
struct Setting;
struct Torrent;

class Session {
  public:
    Session(rust::Slice<Setting const> settings, Limits const& limits, bool block_local,
            DhtStart const& dht);
    ~Session();
    Session(Session const&) = delete;
    Session& operator=(Session const&) = delete;

    std::int32_t event_fd() const noexcept;
    void drain(rust::Vec<Event>& events, DhtTraffic& traffic) const;
    void add(Torrent const& torrent) const;
    void connect(std::uint64_t key, rust::Slice<Peer const> peers) const;
    void remove(std::uint64_t key) const;
    void apply(rust::Slice<Setting const> settings) const;
    void get_peers(rust::Slice<std::uint8_t const> infohash) const;
    void ask(rust::Slice<DhtRequest const> requests) const;
    void ping(rust::Slice<Peer const> nodes) const;
    void post_live_nodes(rust::Slice<std::uint8_t const> node_id) const;
    void post_dht_nodes() const;
    void reopen_sockets() const;
    rust::Vec<std::uint8_t> dht_state() const;
    void close() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

void exit_now(std::int32_t code);
std::unique_ptr<Session> open_session(rust::Slice<Setting const> settings, Limits const& limits,
                                      bool block_local, DhtStart const& dht);

} // namespace metafetch
