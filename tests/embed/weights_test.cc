#include "embed/weights.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

using testing::TinyModelCopy;

// Bytes of the header, its length field included.
std::size_t header_end(const std::string& bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  return sizeof(length) + length;
}

// Rewrites the header of the copy's main file by `edit`.
template <typename Edit>
void edit_header(const TinyModelCopy& model, const Edit& edit) {
  const std::string bytes = testing::read_bytes(model / "model.safetensors");
  const std::size_t end = header_end(bytes);
  nlohmann::json header = nlohmann::json::parse(bytes.substr(8, end - 8));
  edit(header);
  const std::string text = header.dump();
  std::uint64_t length = text.size();
  std::string changed(sizeof(length), '\0');
  std::memcpy(changed.data(), &length, sizeof(length));
  testing::write_bytes(model / "model.safetensors", changed + text + bytes.substr(end));
}

void check_refused(const TinyModelCopy& model, const std::string& part) {
  const auto result = testing::open_model(model.path());
  REQUIRE_FALSE(result.ok());
  CAPTURE(result.status().message());
  CHECK(result.status().code() == StatusCode::kDataLoss);
  CHECK(result.status().message().find(part) != std::string::npos);
}

// Puts `value` at float `index` of `tensor`'s data.
void poison(const TinyModelCopy& model, const std::string& tensor, std::size_t index, float value) {
  std::string bytes = testing::read_bytes(model / "model.safetensors");
  const std::size_t end = header_end(bytes);
  const nlohmann::json header = nlohmann::json::parse(bytes.substr(8, end - 8));
  const std::size_t begin = header.at(tensor).at("data_offsets").at(0);
  std::memcpy(bytes.data() + end + begin + index * sizeof(float), &value, sizeof(float));
  testing::write_bytes(model / "model.safetensors", bytes);
}

TEST_CASE("a missing tensor is refused by name (case 15)") {
  const TinyModelCopy model;
  edit_header(model, [](nlohmann::json& header) {
    header["layers.9.mlp.up_proj.weight"] = header["layers.3.mlp.up_proj.weight"];
    header.erase("layers.3.mlp.up_proj.weight");
  });
  check_refused(model, "\"layers.3.mlp.up_proj.weight\" [48, 32] is missing");
}

TEST_CASE("a tensor the configuration does not call for is refused (case 15)") {
  const TinyModelCopy model;
  edit_header(model, [](nlohmann::json& header) {
    header["lm_head.weight"] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
  });
  check_refused(model, "'lm_head.weight'");
}

TEST_CASE("a tensor of another shape is refused with both shapes (case 15)") {
  const TinyModelCopy model;
  edit_header(model, [](nlohmann::json& header) {
    header["layers.0.mlp.up_proj.weight"]["shape"] = {32, 48};
  });
  check_refused(model, "is [32, 48], config.json calls for [48, 32]");
}

TEST_CASE("a configuration of other sizes than the weights is refused (case 15)") {
  const TinyModelCopy model;
  model.edit_json("config.json", [](nlohmann::json& config) { config["intermediate_size"] = 64; });
  check_refused(model, "calls for [64, 32]");
  const TinyModelCopy dense;
  dense.edit_json("3_Dense/config.json", [](nlohmann::json& c) { c["out_features"] = 512; });
  check_refused(dense, "3_Dense/model.safetensors");
}

TEST_CASE("NaN and infinity in a layer are refused at load (case 16)") {
  const TinyModelCopy with_nan;
  poison(with_nan, "layers.5.self_attn.o_proj.weight", 700, std::nanf(""));
  check_refused(with_nan, "\"layers.5.self_attn.o_proj.weight\" holds NaN");
  const TinyModelCopy with_infinity;
  poison(with_infinity, "norm.weight", 31, -std::numeric_limits<float>::infinity());
  check_refused(with_infinity, "\"norm.weight\" holds NaN or infinity");
}

TEST_CASE("NaN in an embedding is refused when its token is used (case 16)") {
  const TinyModelCopy model;
  const std::size_t hidden = 32, bos = 2;
  poison(model, "embed_tokens.weight", bos * hidden + 7, std::nanf(""));
  const auto embedder = testing::open_model(model.path());
  REQUIRE(embedder.ok());
  const auto result = embedder.value().embed_query("Mars");
  REQUIRE_FALSE(result.ok());
  CHECK(result.status().code() == StatusCode::kDataLoss);
  CHECK(result.status().message().find("token 2") != std::string::npos);
}

TEST_CASE("a file that is cut while in use gives an error, not a signal (case 17)") {
  const TinyModelCopy model;
  for (const char* backend : {"scalar", "vector"}) {
    const auto embedder = testing::open_model(model.path(), backend);
    REQUIRE(embedder.ok());
    REQUIRE(embedder.value().embed_query("Mars").ok());
    const std::string bytes = testing::read_bytes(model / "model.safetensors");
    std::filesystem::resize_file(model / "model.safetensors", 100);
    const auto result = embedder.value().embed_query("Mars");
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == StatusCode::kDataLoss);
    CHECK(result.status().message().find("cut") != std::string::npos);
    testing::write_bytes(model / "model.safetensors", bytes);
  }
}

TEST_CASE("a file cut before it is opened is refused") {
  const TinyModelCopy model;
  const auto size = std::filesystem::file_size(model / "model.safetensors");
  std::filesystem::resize_file(model / "model.safetensors", size - 1);
  check_refused(model, "model.safetensors");
}

}  // namespace
}  // namespace nestor::embed
