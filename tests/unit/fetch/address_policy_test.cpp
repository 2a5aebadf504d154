#include "fetch/address_policy.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::fetch {
namespace {

IpAddress address(const std::string& text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(IpAddress{});
}

TEST(IsPublic, AcceptsGlobalUnicast) {
  for (const char* text : {"1.1.1.1",
                           "8.8.8.8",
                           "9.255.255.255",
                           "11.0.0.0",
                           "93.184.216.34",
                           "100.63.255.255",
                           "100.128.0.0",
                           "126.255.255.255",
                           "128.0.0.1",
                           "169.253.255.255",
                           "169.255.0.0",
                           "172.15.255.255",
                           "172.32.0.0",
                           "168.63.129.15",
                           "168.63.129.17",
                           "192.0.1.0",
                           "192.0.3.0",
                           "192.167.255.255",
                           "192.169.0.0",
                           "198.17.255.255",
                           "198.20.0.0",
                           "198.51.99.255",
                           "198.51.101.0",
                           "203.0.112.255",
                           "203.0.114.0",
                           "223.255.255.255",
                           "2000::",
                           "2001:200::",
                           "2001:4860:4860::8888",
                           "2001:db7:ffff::",
                           "2001:db9::",
                           "2003::1",
                           "2606:4700:4700::1111",
                           "2a00:1450::1",
                           "3ffd::1",
                           "3fff:1000::"}) {
    EXPECT_TRUE(is_public(address(text))) << text;
    EXPECT_TRUE(AddressPolicy().allows(address(text))) << text;
  }
}

TEST(IsPublic, RefusesEverythingSpecialToItsEdges) {
  for (const char* text : {"0.0.0.0",
                           "0.255.255.255",
                           "10.0.0.0",
                           "10.255.255.255",
                           "100.64.0.0",
                           "100.127.255.255",
                           "100.100.100.200",
                           "127.0.0.0",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.0.0",
                           "169.254.169.254",
                           "169.254.255.255",
                           "168.63.129.16",
                           "172.16.0.0",
                           "172.31.255.255",
                           "192.0.0.0",
                           "192.0.0.192",
                           "192.0.0.255",
                           "192.0.2.0",
                           "192.0.2.255",
                           "192.88.99.1",
                           "192.168.0.0",
                           "192.168.255.255",
                           "192.31.196.1",
                           "192.52.193.1",
                           "192.175.48.1",
                           "198.18.0.0",
                           "198.19.255.255",
                           "198.51.100.7",
                           "203.0.113.255",
                           "224.0.0.1",
                           "239.255.255.255",
                           "240.0.0.0",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::2",
                           "::127.0.0.1",
                           "::ffff:127.0.0.1",
                           "::ffff:8.8.8.8",
                           "::ffff:0:1.2.3.4",
                           "64:ff9b::7f00:1",
                           "64:ff9b::808:808",
                           "64:ff9b:1::1",
                           "64:ff9b:1:ffff::1",
                           "100::1",
                           "1fff:ffff::1",
                           "2001::1",
                           "2001:0:4136:e378::1",
                           "2001:2::1",
                           "2001:10::1",
                           "2001:20::1",
                           "2001:1ff:ffff::1",
                           "2001:db8::1",
                           "2002::1",
                           "2002:7f00:1::1",
                           "2620:4f:8000::1",
                           "3ffe::1",
                           "3fff::1",
                           "3fff:fff::1",
                           "4000::1",
                           "5f00::1",
                           "fc00::1",
                           "fd00:ec2::254",
                           "fd20:ce::254",
                           "fdff::1",
                           "fe80::1",
                           "febf::1",
                           "fec0::1",
                           "feff::1",
                           "ff02::1",
                           "ffff::1",
                           "2606:4700::5efe:7f00:1",
                           "2606:4700::200:5efe:7f00:1"}) {
    EXPECT_FALSE(is_public(address(text))) << text;
    EXPECT_FALSE(AddressPolicy().allows(address(text))) << text;
  }
}

TEST(AddressPolicy, PrivateIsLoopbackAndPrivateButNeverMetadata) {
  const AddressPolicy policy(true);
  for (const char* text : {"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
                           "::1", "fd12:3456::1", "8.8.8.8"}) {
    EXPECT_TRUE(policy.allows(address(text))) << text;
  }
  for (const char* text :
       {"169.254.169.254", "169.254.1.1", "168.63.129.16", "100.100.100.200", "192.0.0.192",
        "fd00:ec2::254", "fd20:ce::254", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1"}) {
    EXPECT_FALSE(policy.allows(address(text))) << text;
  }
}

TEST(AddressPolicy, NetworksAreExceptions) {
  const AddressPolicy policy(false, {"10.1.0.0/16", "192.168.1.7", "fd12:3400::/23", "0.0.0.0/32"});
  for (const char* text :
       {"10.1.0.0", "10.1.255.255", "192.168.1.7", "fd12:3400::1", "fd12:35ff::1", "0.0.0.0"}) {
    EXPECT_TRUE(policy.allows(address(text))) << text;
  }
  for (const char* text : {"10.0.255.255", "10.2.0.0", "192.168.1.6", "192.168.1.8", "fd12:33ff::1",
                           "fd12:3600::1", "0.0.0.1", "a01::"}) {
    EXPECT_FALSE(policy.allows(address(text))) << text;
  }
}

TEST(Network, RefusesWhatItCannotRead) {
  for (const char* text : {"", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0/8",
                           "::/129", "example.com", "10.0.0.0/8/8", "010.0.0.0/8"}) {
    test::expect_error(ErrorCode::kInvalidArgument, "is not a network",
                       [&] { Network::parse(text); });
  }
}

TEST(IpAddress, KnowsCanonicalFormsOnly) {
  for (const char* text : {"", "1", "127.1", "0x7f.0.0.1", "0177.0.0.1", "1.2.3.4.", "1.2.3.256",
                           "[::1]", "fe80::1%eth0", "1.2.3.4 ", ":::1"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string("1.2.3.4\0x", 9)));
}

}  // namespace
}  // namespace itemcrop::fetch
