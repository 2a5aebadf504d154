#pragma once

#include <random>
#include <string>
#include <vector>

namespace itemcrop::test {

/// 10,000 names meant to escape a folder, to collide, or to break a file system.
inline std::vector<std::string> hostile_names() {
  std::vector<std::string> names = {"",
                                    ".",
                                    "..",
                                    "../../etc/passwd",
                                    "/etc/passwd",
                                    "C:\\Windows\\system32",
                                    "\\\\host\\share",
                                    "con",
                                    "CON",
                                    "Con.jpg",
                                    "nul",
                                    "PRN",
                                    "AUX",
                                    "com1",
                                    "COM9",
                                    "lpt1",
                                    "LPT0",
                                    "CLOCK$",
                                    std::string("blazer\0.exe", 11),
                                    "a/b",
                                    "a\\b",
                                    "a:b",
                                    "a*b?c",
                                    "<script>",
                                    "\"quoted\"",
                                    "|",
                                    "~",
                                    "~root",
                                    "-rf",
                                    "--help",
                                    "$(reboot)",
                                    "`id`",
                                    "%2e%2e%2f",
                                    "&amp;",
                                    "\n",
                                    "\r\n",
                                    "\t",
                                    "\x7f",
                                    "\x1b[31mred",
                                    "caf\xc3\xa9",
                                    "CAFE\xcc\x81",
                                    "\xe2\x80\xae"
                                    "gpj.exe",
                                    "\xe2\x80\x8b",
                                    "\xef\xbb\xbf"
                                    "bom",
                                    "\xf0\x9f\x91\x97",
                                    "\xd0\xbf\xd0\xbb\xd0\xb0\xd1\x89",
                                    "\xff\xfe",
                                    "\xc0\xaf",
                                    "\xed\xa0\x80",
                                    "trailing.",
                                    "trailing ",
                                    ".hidden",
                                    "a.b.c",
                                    "item",
                                    "item-2",
                                    "item-3",
                                    "I\xcc\x87",
                                    "\xef\xac\x81t",
                                    std::string(10 * 1024, 'a'),
                                    std::string(10 * 1024, '.'),
                                    std::string(1023, 'a') + "\xc3\xa9"};
  std::mt19937 random(20240607);
  const std::vector<std::string> parts = {"..",
                                          "/",
                                          "\\",
                                          std::string(1, '\0'),
                                          "con",
                                          "NUL",
                                          ".",
                                          " ",
                                          "-",
                                          "_",
                                          "2",
                                          "item",
                                          "Blazer",
                                          "blazer",
                                          "\xe2\x80\xae",
                                          "\xc3\x89",
                                          "\xff",
                                          "\n",
                                          ":",
                                          "jpg"};
  while (names.size() < 10'000) {
    std::string name;
    const std::size_t length = random() % 8;
    for (std::size_t i = 0; i < length; ++i) name += parts[random() % parts.size()];
    names.push_back(name);
  }
  return names;
}

}  // namespace itemcrop::test
