#include "metafetch/cpp/settings.hpp"

#include "metafetch/src/libtorrent/bridge.rs.h"

#include <libtorrent/settings_pack.hpp>
#include <libtorrent/version.hpp>
#include <stdexcept>
#include <string>

static_assert(LIBTORRENT_VERSION_NUM >= 20000, "libtorrent-rasterbar 2.0 or newer is needed");

namespace metafetch {
namespace {

int find(std::string const& name) {
    int const setting = lt::setting_by_name(name);
    if (setting < 0)
        throw std::invalid_argument("this libtorrent has no setting `" + name + "`");
    return setting;
}

bool to_bool(std::string const& name, std::string const& value) {
    if (value == "true")
        return true;
    if (value == "false")
        return false;
    throw std::invalid_argument("setting `" + name + "` is true or false, not `" + value + "`");
}

int to_int(std::string const& name, std::string const& value) {
    try {
        std::size_t used = 0;
        int const number = std::stoi(value, &used);
        if (used == value.size())
            return number;
    } catch (std::exception const&) {
        // Said below, with the name of the setting.
    }
    throw std::invalid_argument("setting `" + name + "` is a number, not `" + value + "`");
}

} // namespace

lt::settings_pack to_pack(rust::Slice<Setting const> settings) {
    lt::settings_pack pack;
    for (auto const& entry : settings) {
        auto const name = static_cast<std::string>(entry.name);
        auto const value = static_cast<std::string>(entry.value);
        int const setting = find(name);
        switch (setting & lt::settings_pack::type_mask) {
        case lt::settings_pack::string_type_base:
            pack.set_str(setting, value);
            break;
        case lt::settings_pack::int_type_base:
            pack.set_int(setting, to_int(name, value));
            break;
        default:
            pack.set_bool(setting, to_bool(name, value));
        }
    }
    return pack;
}

rust::String default_setting(rust::Str name) {
    int const setting = find(static_cast<std::string>(name));
    auto const defaults = lt::default_settings();
    switch (setting & lt::settings_pack::type_mask) {
    case lt::settings_pack::string_type_base:
        return rust::String::lossy(defaults.get_str(setting));
    case lt::settings_pack::int_type_base:
        return std::to_string(defaults.get_int(setting));
    default:
        return defaults.get_bool(setting) ? "true" : "false";
    }
}

rust::String library_version() {
    return lt::version();
}

} // namespace metafetch
