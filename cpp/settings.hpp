// Settings by name, as text.
#pragma once

#include "rust/cxx.h"

namespace libtorrent {
struct settings_pack;
}

namespace metafetch {

struct Setting;

/// The settings as libtorrent wants them. Throws for a name that libtorrent does not know and for a
/// value that does not fit the setting's type.
libtorrent::settings_pack to_pack(rust::Slice<Setting const> settings);

rust::String default_setting(rust::Str name);
rust::String library_version();

} // namespace metafetch
