// What `perdure dev` prints when it is ready: one block with all that a developer needs next. A
// pure function.
#pragma once

#include <string>
#include <vector>

namespace perdure::app {

struct BannerModel {
  std::string provider;  ///< the configured or found name of who answers for `model`
  std::string kind;
  std::string base_url;
  std::string other_names;   ///< the provider that names nobody knows go to, where it is another
  std::string model;         ///< one to ask for, empty if none is known
  bool is_default = false;   ///< the name `default` means `model`
  bool has_default = false;  ///< the configuration names a model `default` itself
  bool has_key = false;      ///< calls carry a real key
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
