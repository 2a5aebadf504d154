#include "model/weight_loader.h"

#include <cstring>

#include "core/dtype.h"

namespace itemcrop::model {
namespace {

/// Stored tensors need not be aligned, so elements are read by copies.
template <class Element, class Convert>
void decode(const std::byte* data, std::span<float> values, Convert convert) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Element element;
    std::memcpy(&element, data + i * sizeof(Element), sizeof(Element));
    values[i] = convert(element);
  }
}

void decode_into(const io::StoredTensor& tensor, std::span<float> values) {
  switch (tensor.dtype) {
    case DType::kF32:
      std::memcpy(values.data(), tensor.data, values.size_bytes());
      return;
    case DType::kF16:
      return decode<std::uint16_t>(tensor.data, values, f16_to_float);
    case DType::kBF16:
      return decode<std::uint16_t>(tensor.data, values, bf16_to_float);
    default:
      throw Error(ErrorCode::kInternal, "weight " + tensor.name + " is not floating point");
  }
}

}  // namespace

std::vector<float> WeightLoader::values(const std::string& name) const {
  const io::StoredTensor& tensor = weights_.at(name);
  std::vector<float> result(static_cast<std::size_t>(tensor.elements()));
  decode_into(tensor, result);
  weights_.source().release_pages(tensor);
  return result;
}

HostWeight WeightLoader::host_weight(const std::string& name, Bias bias) const {
  HostWeight host;
  const io::StoredTensor& tensor = weights_.at(name + ".weight");
  host.outputs = tensor.shape.front();
  host.inputs = tensor.elements() / host.outputs;
  host.weight = values(name + ".weight");
  if (bias == Bias::kYes) host.bias = values(name + ".bias");
  return host;
}

std::unique_ptr<const ops::LinearWeights> WeightLoader::prepare(
    const HostWeight& host, ops::WeightPrecision precision) const {
  return backend_.make_linear({host.weight.data(), host.bias.empty() ? nullptr : host.bias.data(),
                               host.outputs, host.inputs},
                              precision);
}

std::unique_ptr<const ops::LinearWeights> WeightLoader::linear(
    const std::string& name, Bias bias, ops::WeightPrecision precision) const {
  return prepare(host_weight(name, bias), precision);
}

std::unique_ptr<const ops::LinearWeights> WeightLoader::stacked(
    std::initializer_list<std::string> names, Bias bias, ops::WeightPrecision precision) const {
  HostWeight all;
  for (const std::string& name : names) {
    const HostWeight one = host_weight(name, bias);
    all.inputs = one.inputs;
    all.outputs += one.outputs;
    all.weight.insert(all.weight.end(), one.weight.begin(), one.weight.end());
    all.bias.insert(all.bias.end(), one.bias.begin(), one.bias.end());
  }
  return prepare(all, precision);
}

std::unique_ptr<const ops::Constant> WeightLoader::constant(const std::string& name) const {
  const io::StoredTensor& tensor = weights_.at(name);
  const std::int64_t cols = tensor.shape.back();
  return backend_.make_constant(values(name).data(), tensor.elements() / cols, cols);
}

std::unique_ptr<const ops::Constant> WeightLoader::vector(const std::string& name) const {
  return vector(values(name));
}

std::unique_ptr<const ops::Constant> WeightLoader::vector(std::span<const float> values) const {
  return backend_.make_constant(values.data(), 1, static_cast<std::int64_t>(values.size()));
}

ops::Norm WeightLoader::norm(const std::string& name, float epsilon) const {
  return {vector(name + ".weight"), vector(name + ".bias"), epsilon};
}

ops::FeedForwardWeights WeightLoader::feed_forward(const std::string& up, const std::string& down,
                                                   ops::Activation activation,
                                                   ops::WeightPrecision precision) const {
  return {linear(up, Bias::kYes, precision), linear(down, Bias::kYes, precision), activation};
}

}  // namespace itemcrop::model
