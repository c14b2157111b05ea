// A program of somebody else: vectors of its own into a database, and the nearest of them out
// again.
#include <nestor/nestor.h>

#include <cstdio>

int main(int, char** arguments) {
  auto opened = nestor::Database::open(arguments[1]);
  if (!opened.ok()) return std::puts(opened.status().to_string().c_str()), 1;
  nestor::Database db = std::move(opened).value();
  auto added = db.add({{.key = "east", .text = "the sun rises", .vector = {1, 0, 0}},
                       {.key = "north", .text = "the needle points", .vector = {0, 1, 0}}});
  if (!added.ok()) return std::puts(added.status().to_string().c_str()), 1;
  auto found = db.search_vector(std::vector<float>{0.1f, 0.9f, 0}, {.k = 1});
  if (!found.ok()) return std::puts(found.status().to_string().c_str()), 1;
  for (const nestor::Hit& hit : found.value().hits) {
    std::printf("%.3f %s %s\n", hit.score, hit.key.c_str(), hit.text.c_str());
  }
}
