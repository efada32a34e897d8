#include "journal/search.h"

#include <algorithm>
#include <tuple>

namespace perdure::journal {

void put_in_order(FoundItems* found) {
  std::ranges::sort(found->items, {},
                    [](const FoundItem& one) { return std::tie(one.session, one.item.place); });
}

}  // namespace perdure::journal
