#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::items {

/// The words of a list that somebody typed, in any of its forms:
/// - "navy blazer, pants": separated by commas;
/// - "hat. pants.": the form of the reference's prompts, each word closed by a full stop;
/// - ["shirt, striped", "pants"]: JSON, whose texts are taken whole, commas included.
/// Words are tidy, in order, repeats kept. `field` is what errors call the list ("--items"); a list
/// longer than `max_words` ends one word beyond it, for the caller to refuse.
/// Throws Error(kInvalidArgument) naming the field and the right form: an empty word or list, JSON
/// that is no list of texts, commas and full stops mixed.
std::vector<std::string> parse_word_list(std::string_view text, std::string_view field,
                                         std::size_t max_words = 100'000);

/// One word that is taken whole. Throws Error(kInvalidArgument) naming `list_field`, the field for
/// lists, if it is empty or a list: commas, JSON, several full stops.
std::string parse_word(std::string_view text, std::string_view field, std::string_view list_field);

}  // namespace itemcrop::items
