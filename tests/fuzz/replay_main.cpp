// Runs a fuzz target without libFuzzer, for compilers that lack it: every file given (or in a
// folder given), then -runs=N mutations of them, the same ones for the same -seed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void run(const Bytes& input) { LLVMFuzzerTestOneInput(input.data(), input.size()); }

class Mutator {
 public:
  Mutator(std::vector<Bytes> corpus, unsigned seed) : corpus_(std::move(corpus)), random_(seed) {}

  Bytes next() {
    Bytes input = pick_input();
    for (std::size_t left = 1 + below(6); left > 0; --left) {
      mutate(input);
    }
    return input;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  const Bytes& pick_input() { return corpus_[below(corpus_.size())]; }

  void mutate(Bytes& input) {
    const std::size_t at = below(input.size() + 1);
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    const auto until = place + static_cast<std::ptrdiff_t>(below(input.size() - at + 1));
    switch (below(5)) {
      case 0:  // flip a bit
        if (place != input.end()) {
          *place = static_cast<std::uint8_t>(*place ^ (1U << below(8)));
        }
        break;
      case 1:  // any byte
        input.insert(place, static_cast<std::uint8_t>(below(256)));
        break;
      case 2:
        input.erase(place, until);
        break;
      case 3: {  // repeat a part
        const Bytes part(place, until);
        input.insert(place, part.begin(), part.end());
        break;
      }
      default: {  // a part of another input
        const Bytes& other = pick_input();
        const std::size_t from = below(other.size() + 1);
        const std::size_t count = below(std::min<std::size_t>(other.size() - from, 64) + 1);
        input.insert(place, other.begin() + static_cast<std::ptrdiff_t>(from),
                     other.begin() + static_cast<std::ptrdiff_t>(from + count));
      }
    }
  }

  std::vector<Bytes> corpus_;
  std::mt19937 random_;
};

}  // namespace

int main(int count, char** arguments) {
  std::vector<Bytes> corpus{{}};
  unsigned long runs = 0;
  unsigned seed = 1;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    if (argument.starts_with("-runs=")) {
      runs = std::stoul(std::string(argument.substr(6)));
    } else if (argument.starts_with("-seed=")) {
      seed = static_cast<unsigned>(std::stoul(std::string(argument.substr(6))));
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
        if (entry.is_regular_file()) {
          corpus.push_back(read(entry.path()));
        }
      }
    } else if (!argument.starts_with('-')) {
      corpus.push_back(read(argument));
    }
  }
  std::for_each(corpus.begin(), corpus.end(), run);
  Mutator mutator(corpus, seed);
  for (unsigned long i = 0; i < runs; ++i) {
    run(mutator.next());
  }
  std::cout << corpus.size() << " inputs and " << runs << " mutations ran\n";
  return 0;
}
