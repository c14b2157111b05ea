#include "storage/repair_verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "storage/key_schema.h"

namespace nestor::storage {
namespace {

// A wholly damaged store must not fill the memory with sentences.
constexpr std::size_t kMostSentences = 1'000;

void say(std::vector<std::string>& sentences, std::string sentence) {
  if (sentences.size() < kMostSentences) {
    sentences.push_back(std::move(sentence));
  } else if (sentences.size() == kMostSentences) {
    sentences.emplace_back("there is more, which is not listed");
  }
}

class Judge {
 public:
  Judge(const Survey& survey, const RepairFindings& findings) : survey_(survey), found_(findings) {}

  RepairVerdict run(const std::set<std::uint32_t>& journal_broken) {
    judge_surroundings();
    for (const auto& [id, collection] : survey_.collections) {
      judge_collection(collection, journal_broken.contains(id));
    }
    return std::move(verdict_);
  }

 private:
  void lost(std::string sentence) { say(verdict_.report.lost, std::move(sentence)); }
  void mend(std::string sentence) { say(verdict_.report.mended, std::move(sentence)); }

  void judge_surroundings() {
    for (const std::string& gap : found_.gaps) mend("RocksDB: " + gap);
    if (!found_.sound && found_.gaps.empty()) mend("RocksDB's files: checksums or order");
    if (found_.manifest_bad) mend("the file NESTOR is missing or damaged");
    if (found_.manifest_disagrees) {
      lost(
          "NESTOR is of one database, RocksDB beside it of another: whose documents these are "
          "cannot be told");
    }
    if (!found_.watermark) {
      lost(
          "WATERMARK is missing or damaged: whether acknowledged documents are gone cannot be "
          "told");
    } else if (*found_.watermark > survey_.highest_sequence) {
      lost(fmt::format("batch {} was acknowledged, the last one that can be read is {}",
                       *found_.watermark, survey_.highest_sequence));
    }
    std::uint64_t highest = 0;
    for (const auto& [id, collection] : survey_.collections) {
      if (collection.record) highest = std::max(highest, collection.record->collection.sequence);
    }
    verdict_.state_bad = !survey_.state || survey_.state->sequence != highest;
    if (verdict_.state_bad) mend("the record of the store's last batch");
    if (!survey_.format) mend("the record of the store's format");
    for (const std::string& name : survey_.nameless) {
      lost(
          fmt::format("the record of collection '{}' is damaged: its settings and its vector "
                      "space have to be found otherwise",
                      name));
    }
    for (const std::string& key : survey_.foreign) {
      mend(fmt::format("{} belongs to nothing and is set aside", quote_for_message(key)));
    }
  }

  void judge_collection(const SurveyedCollection& collection, bool journal_broken) {
    RepairReport& report = verdict_.report;
    const std::string where = fmt::format("collection '{}'", collection.name);
    const std::size_t lost_before = report.lost.size();
    bool holes = false;
    for (const std::string& key : collection.damaged_documents) {
      lost(fmt::format("{}, document {}: its record is damaged", where, quote_for_message(key)));
      ++report.documents_lost;
      holes = true;
    }
    for (const auto& [key, document] : collection.documents) {
      if (document.whole()) {
        ++report.documents_kept;
        report.passages_kept += document.count;
        continue;
      }
      lost(
          fmt::format("{}, document {}: {} of its {} vectors can be read; its text is set aside "
                      "as JSONL",
                      where, quote_for_message(key), document.rows_seen, document.count));
      ++report.documents_lost;
      holes = true;
    }
    if (!collection.bad_rows.empty()) {
      lost(fmt::format(
          "{}: {} are damaged or belong to no document that can be read, the first is "
          "row {}",
          where,
          collection.bad_rows.size() == 1 ? std::string("1 row")
                                          : fmt::format("{} rows", collection.bad_rows.size()),
          collection.bad_rows.front()));
      holes = true;
    }
    judge_sums(collection, where, report.lost.size() == lost_before);
    if (journal_broken) mend(where + ": its journal");
    const bool derive_anew = holes || !collection.record;
    if (collection.fields_bad) mend(where + ": its field index");
    if (collection.contents_bad) mend(where + ": its content index");
    if (collection.terms_bad) mend(where + ": its postings");
    if (collection.fields_bad || derive_anew) verdict_.without_fields.insert(collection.id);
    if (collection.contents_bad || derive_anew) verdict_.without_contents.insert(collection.id);
    if (collection.terms_bad || derive_anew) verdict_.without_terms.insert(collection.id);
    if (derive_anew || journal_broken) verdict_.rewritten.insert(collection.id);
  }

  // The digest is the witness of what was acknowledged: it stands in the collection's record and in
  // the newest entry of its journal.
  void judge_sums(const SurveyedCollection& collection, const std::string& where, bool whole) {
    if (!collection.record) {
      if (survey_.nameless.empty()) {
        lost(
            fmt::format("{}: its record is gone, with its name, settings and vector space", where));
      }
      return;
    }
    const Collection& stated = collection.record->collection;
    const Collection& found = collection.found;
    const bool counts_differ =
        stated.documents != found.documents || stated.passages != found.passages ||
        stated.text_bytes != found.text_bytes || stated.rows_by_mode != found.rows_by_mode ||
        stated.truncated_passages != found.truncated_passages ||
        stated.next_row_id <= collection.highest_row_id;
    const bool digest_differs = stated.digest != found.digest;
    if (!counts_differ && !digest_differs) return;
    verdict_.rewritten.insert(collection.id);
    if (!digest_differs || collection.journal_digest == found.digest) {
      mend(where + ": its counts and digest");
      return;
    }
    if (stated.documents > found.documents) {
      verdict_.report.documents_lost += stated.documents - found.documents;
    }
    if (stated.documents != found.documents || stated.passages != found.passages) {
      lost(fmt::format("{}: {} documents with {} passages are there, {} with {} are on record",
                       where, with_thousands(found.documents), with_thousands(found.passages),
                       with_thousands(stated.documents), with_thousands(stated.passages)));
    } else if (whole) {
      lost(where +
           ": the digest does not fit what is there: older versions of some records have "
           "come back, or newer ones are gone");
    }
    verdict_.without_fields.insert(collection.id);
    verdict_.without_contents.insert(collection.id);
    verdict_.without_terms.insert(collection.id);
  }

  const Survey& survey_;
  const RepairFindings& found_;
  RepairVerdict verdict_;
};

}  // namespace

RepairVerdict judge(const Survey& survey, const RepairFindings& findings,
                    const std::set<std::uint32_t>& journal_broken) {
  return Judge(survey, findings).run(journal_broken);
}

}  // namespace nestor::storage
