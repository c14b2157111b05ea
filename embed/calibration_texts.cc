#include "embed/calibration_texts.h"

#include <array>

namespace nestor::embed {
namespace {

// Written for this purpose: everyday prose, questions, lists, code, many scripts.
constexpr std::array kTexts = {
    "title: Keeping a garden | text: Tomatoes need at least six hours of sun a day and even "
    "watering. Plant them deep, "
    "so that roots grow along the stem, and tie the shoots to a stake before the first fruits make "
    "them heavy. In late "
    "summer, cut back the leaves that touch the soil; they carry most diseases.",
    "title: none | text: The meeting is moved to Thursday, 14:30, room 2.17. Please bring the "
    "budget for 2025 (draft 3), "
    "the list of open contracts, and an estimate of the hours that were spent on support since "
    "March.",
    "title: none | text: def mean(values):\n    total = 0.0\n    for value in values:\n        "
    "total += value\n    "
    "return total / len(values) if values else 0.0\n\n# Usage: mean([1, 2, 3]) gives 2.0",
    "title: Install | text: ## Installing\n\n1. Unpack the archive: `tar xf tool-1.4.tar.gz`\n2. "
    "Run `./configure "
    "--prefix=/usr`, then `make` and `make install`.\n3. Check it: `tool --version` prints "
    "*1.4*.\n\n| option | "
    "meaning |\n|---|---|\n| -v | more messages |\n| -q | none at all |",
    "title: none | text: High blood pressure often has no symptoms. It is measured at rest, on "
    "both arms, more than once; "
    "values above 140/90 mmHg should be discussed with a doctor. Less salt, exercise and enough "
    "sleep help, and there "
    "are several kinds of medicine.",
    "title: none | text: The treaty was signed in 1648 after four years of talks. It ended a war "
    "that had begun as a "
    "quarrel over religion and had become a struggle between kingdoms; a third of the people in "
    "some regions had died.",
    "task: search result | query: how long can cooked rice be kept in the fridge",
    "task: search result | query: difference between TCP and UDP",
    "task: search result | query: sort a list of dictionaries by key python",
    "title: none | text: Der Zug nach Hamburg fährt heute von Gleis 7 ab und hat etwa zwanzig "
    "Minuten Verspätung. "
    "Reisende mit Anschluss nach Kiel nehmen bitte den Regionalexpress um 16:12 Uhr. Die "
    "Fahrkarten bleiben gültig.",
    "task: search result | query: Wie wird man einen Schnupfen schnell los?",
    "title: Le pain | text: Mélangez la farine, l'eau, le sel et la levure, puis laissez reposer "
    "la pâte une nuit au "
    "frais. Le lendemain, formez une boule, attendez une heure et faites cuire à four très chaud "
    "pendant quarante "
    "minutes. La croûte doit être dorée et sonner creux.",
    "title: none | text: El río nace en las montañas del norte y recorre trescientos kilómetros "
    "antes de llegar al mar. "
    "En primavera, cuando se derrite la nieve, sus aguas suben hasta dos metros y los pueblos de "
    "la orilla cierran "
    "el puente viejo.",
    "title: none | text: A biblioteca abre de segunda a sexta, das nove às dezoito horas. Os "
    "livros podem ser levados "
    "por três semanas; quem os devolver tarde paga uma pequena multa.",
    "title: none | text: La luce attraversa la lente e viene piegata verso il centro; più la lente "
    "è curva, più vicino "
    "si trova il fuoco. Su questo principio si fondano occhiali, microscopi e telescopi.",
    "title: none | text: Поезд отправляется в семь утра и прибывает вечером следующего дня. За "
    "окном тянутся леса и "
    "поля, изредка мелькают деревни. В вагоне пьют чай и рассказывают друг другу истории.",
    "task: search result | query: сколько планет в солнечной системе",
    "title: none | text: "
    "春天来了，河边的柳树发出了新芽。孩子们在草地上放风筝，老人坐在长椅上聊天。市场里有新鲜的蔬菜、"
    "水果和鱼，"
    "价格比去年便宜一些。",
    "task: search result | query: 怎样备份手机里的照片？",
    "title: none | text: "
    "この町には古い寺が多く、秋になると紅葉を見に大勢の人が訪れます。駅から歩いて十五分ほどで、途中"
    "に小さな"
    "茶店があります。月曜日は休みです。",
    "title: none | text: 도서관은 오전 아홉 시에 문을 엽니다. 책을 빌리려면 회원증이 필요하며 한 "
    "번에 다섯 권까지 2주 동안 빌릴 "
    "수 있습니다.",
    "title: none | text: تقع المدينة على ساحل البحر، ويعيش أهلها من الصيد والتجارة. في الصيف يأتي "
    "إليها الزوار من كل "
    "مكان، وفي الشتاء تهدأ شوارعها وتغلق معظم مطاعمها.",
    "title: none | text: הספר מספר על משפחה שעברה מעיר לכפר. בהתחלה היה להם קשה, אבל אחרי שנה הם "
    "למדו לגדל ירקות "
    "והכירו את כל השכנים.",
    "title: none | text: इस गाँव में बारिश के बाद किसान धान लगाते हैं। नदी का पानी खेतों तक नहरों से पहुँचता है। "
    "फसल तीन महीने में "
    "तैयार हो जाती है और बाज़ार में बिकती है।",
    "title: none | text: ตลาดน้ำเปิดทุกวันเสาร์และอาทิตย์ ตั้งแต่เช้าจนถึงบ่าย แม่ค้าพายเรือขายผลไม้ ก๋วยเตี๋ยว "
    "และขนมไทย "
    "นักท่องเที่ยวควรมาแต่เช้าเพราะตอนสายคนจะเยอะมาก",
    "title: none | text: Mỗi buổi sáng, bà tôi đi chợ mua rau và cá tươi. Bà biết tên mọi người "
    "bán hàng và luôn mặc cả "
    "rất vui vẻ trước khi trả tiền.",
    "title: none | text: Türkiye'nin doğusunda kışlar uzun ve soğuk geçer. Köylüler yazdan odun "
    "toplar, peynir yapar ve "
    "sebze kurutur.",
    "title: none | text: W lesie rosną dęby i sosny. Jesienią zbieramy grzyby, ale tylko te, które "
    "dobrze znamy. Resztę "
    "zostawiamy zwierzętom.",
    "title: none | text: Η θάλασσα σήμερα είναι ήρεμη και το πλοίο θα φύγει στην ώρα του. Οι "
    "επιβάτες περιμένουν στο "
    "λιμάνι με τις βαλίτσες τους.",
    "title: none | text: {\"name\": \"sensor-12\", \"unit\": \"°C\", \"values\": [20.5, 20.7, "
    "21.0], \"ok\": true}\n"
    "SELECT city, COUNT(*) FROM visits WHERE year >= 2020 GROUP BY city ORDER BY 2 DESC;",
    "task: code retrieval | query: read a file line by line in C++",
    "task: sentence similarity | query: A child is riding a bicycle along the river.",
};

}  // namespace

std::span<const char* const> calibration_texts() { return kTexts; }

}  // namespace nestor::embed
