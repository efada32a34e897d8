// What `perdure dev` prints when it is ready: one block with all that a developer needs next. A
// pure function.
#pragma once

#include <string>
#include <vector>

namespace perdure::app {

struct BannerModel {
  std::string provider;  ///< the configured or found name
  std::string kind;
  std::string base_url;
  std::string model;     ///< one to ask for, empty if none is known
  bool has_key = false;  ///< calls carry a real key
  std::vector<std::string> notes;
};

struct BannerInfo {
  std::string version;
  std::string url;  ///< "http://127.0.0.1:8787"
  std::string data_dir;
  BannerModel model;
  bool data_dir_is_default = true;
};

std::string banner(const BannerInfo& info);

}  // namespace perdure::app
