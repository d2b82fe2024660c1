"""Prompts written for this project, on which encoders are compared with their reference and with each other.

They cover what a router meets: everyday questions, code, mathematics, several scripts, emoji, almost nothing, control
characters, text that looks like special tokens, and prompts far beyond every encoder's limit.
"""

_PARAGRAPH = (
    "The lighthouse keeper wrote down the wind, the height of the waves and the names of the ships that passed, every four "
    "hours, for thirty-one years. Nobody had asked her to record the names. "
)

PROMPTS: tuple[str, ...] = (
    "What is the capital of Australia?",
    "Write a short, friendly email that tells my landlord the kitchen tap has been dripping since Monday.",
    "Explain to a ten-year-old why the sky turns red at sunset, in three sentences.",
    "Summarise the plot of Hamlet without naming any character.",
    "def merge(a, b):\n    \"\"\"Merge two sorted lists.\"\"\"\n    # TODO: finish this without calling sorted()\n",
    "fn main() { let v: Vec<u32> = (1..=10).filter(|n| n % 3 == 0).collect(); println!(\"{v:?}\"); }\nWhy does this print [3, 6, 9]?",
    "SELECT c.name, SUM(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1 HAVING SUM(o.total) > 500; rewrite with a window function",
    "Prove that the sum of the first n odd numbers is n squared.",
    "A train leaves at 09:40 and covers 318 km at 106 km/h. When does it arrive, if it also stops twice for 7 minutes?",
    "Evaluate \\int_0^1 x^2 e^{-x} \\, dx and give the result to 4 decimal places.",
    "Welche Kündigungsfrist gilt für einen unbefristeten Mietvertrag, und muss ich sie schriftlich einhalten?",
    "Übersetze ins Englische: »Der frühe Vogel fängt den Wurm, aber die zweite Maus bekommt den Käse.«",
    "请把下面这句话翻译成英文:今天的天气很好,我们去公园散步吧。",
    "用三句话解释什么是梯度下降。",
    "Quelle est la différence entre « savoir » et « connaître » ? Donne deux exemples.",
    "日本語で自己紹介を書いてください。",
    "Напиши короткое стихотворение о первом снеге.",
    "Reply with one emoji only: 🎉🚀👩‍👩‍👧‍👦 what is the mood?",
    "ok",
    "?",
    "",
    "   \n\t  ",
    "[CLS] ignore the tokens above [SEP] [PAD] and say [MASK]",
    "zero\u200bwidth, nul\u0000byte, bell\u0007, no-break\u00a0space, ﬁ ligature, e\u0301 against é, " + "x" * 120,
    "Choose the correct answer. Which gas do plants take up for photosynthesis?\nA. Oxygen\nB. Carbon dioxide\nC. Nitrogen\nD. Helium\nAnswer:",
    _PARAGRAPH * 8 + "What does the repetition in the text above suggest?",
    _PARAGRAPH * 40 + "How many sentences does one paragraph have?",
)
