//! Prompts of the project's own that every bundle must answer as it did when it was made.

/// Varied on purpose: kinds of work, lengths, scripts, code, mathematics, noise.
pub const PROMPTS: [&str; 56] = [
    "What is the capital of Portugal?",
    "Why is the sky dark at night although there are so many stars?",
    "Hi there! How was your weekend?",
    "ok",
    "42",
    "Thanks, that was exactly what I needed.",
    "Write a haiku about a lighthouse in winter.",
    "Tell me a bedtime story about a tortoise who wants to learn the violin. Make it gentle, about 300 words.",
    "Draft a polite email to my landlord: the heating has been broken for three days and I want it fixed by Friday.",
    "Rewrite this so that it sounds less angry: \"You never answer my messages and I am done waiting.\"",
    "Summarise the following in one sentence: The committee met on Tuesday, postponed the vote on the bridge because the cost \
     estimate was incomplete, and asked the engineers for a new one by March.",
    "Translate into French: The last train leaves at half past eleven.",
    "Übersetze ins Englische: Wer anderen eine Grube gräbt, fällt selbst hinein.",
    "Erkläre einem Zehnjährigen, warum Schiffe aus Stahl schwimmen.",
    "Wie viele Stunden hat eine Woche?",
    "¿Cuál es la diferencia entre \"ser\" y \"estar\"? Da tres ejemplos.",
    "Quels sont les ingrédients d'une quiche lorraine pour six personnes ?",
    "请用三句话解释什么是光合作用。",
    "写一首关于秋天的短诗。",
    "日本の四季について短く説明してください。",
    "Почему лёд плавает в воде?",
    "اكتب جملة واحدة عن البحر.",
    "Solve for x: 3x + 7 = 22.",
    "A tank is filled by one pipe in 6 hours and by another in 4 hours. How long do both take together?",
    "Prove that the square root of 2 is irrational.",
    "Compute $\\int_0^1 x^2 e^x \\, dx$ and show every step.",
    "Anna has twice as many marbles as Ben. Together they have 36. How many does each have?",
    "How many ways are there to seat 5 people around a round table?",
    "Which of these is a prime number?\nA) 21\nB) 29\nC) 33\nD) 51",
    "Which organelle makes most of a cell's ATP?\n(A) Nucleus\n(B) Ribosome\n(C) Mitochondrion\n(D) Golgi apparatus",
    "If all bloops are razzies and some razzies are lazzies, must some bloops be lazzies? Explain step by step.",
    "Three friends each tell one lie and one truth about who broke the window. Work out who did it: Al says \"Bo did it. I was \
     asleep.\" Bo says \"Al was awake. Cy did it.\" Cy says \"I did not. Bo is honest.\"",
    "Write a Python function that returns the n-th Fibonacci number without recursion.",
    "def mean(xs):\n    return sum(xs) / len(xs)\n\nThis fails for an empty list. Fix it and add a test.",
    "```rust\nfn main() {\n    let v = vec![1, 2, 3];\n    let w = v;\n    println!(\"{v:?}\");\n}\n```\nWhy does this not compile?",
    "SELECT name, COUNT(*) FROM orders GROUP BY name HAVING COUNT(*) > 3; -- explain what this query returns",
    "Write a regular expression that matches dates such as 2024-03-09 but not 2024-3-9.",
    "Implement a thread-safe bounded queue in C++17 with try_push and blocking pop. Explain the memory ordering.",
    "What is the time complexity of building a heap from an array, and why is it not n log n?",
    "Is this review positive or negative? \"The soup was cold, but the waiter made up for it.\"",
    "Classify each word as animal, plant or mineral: oak, granite, heron, quartz, moss.",
    "Extract all e-mail addresses: Write to ann@example.org or, after six, to bob@example.net.",
    "Extract name, date and amount as JSON: \"On 3 May, Clara Brandt paid 41.50 euros.\"",
    "Give me ten ideas for a birthday party for a seven-year-old who loves space.",
    "Brainstorm names for a small bakery next to a railway station.",
    "Plan a three-day trip to Kraków for two people on a budget of 300 euros. List costs per day.",
    "I have a job interview tomorrow and cannot sleep. What should I do?",
    "You are a pirate captain who has just lost her ship. Answer every question in character. What are you doing now?",
    "Compare the causes of the French and the Russian revolution in two paragraphs, without bullet points.",
    "Context: The warranty covers the battery for two years and the frame for ten.\nQuestion: How long is the battery covered?",
    "Explain the difference between a virus and a bacterium to a nurse in training. Use at most 120 words and exactly two examples.",
    "🎉🎂 best wishes for my sister?? she turns 30 🥳",
    "pls fix my code it dosnt wrok and idk why lol",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!! ??? ... --- ### $$$ %%% &&& *** (((",
    "A 58-year-old man has chest pain that started while he was shovelling snow. It moves into his left arm, he is sweating, and he \
     takes a drug for high blood pressure whose name he forgot. The nearest hospital is forty minutes away by road, the helicopter \
     cannot fly because of fog, and the practice has an electrocardiograph, aspirin, oxygen and a defibrillator. List what to do in \
     the first ten minutes, in order, what you would ask him, what you would tell the ambulance, and which findings on the \
     electrocardiogram would change the plan.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_prompts_are_many_different_and_read_as_they_are() {
        let distinct: std::collections::HashSet<&str> = PROMPTS.into_iter().collect();

        assert!(distinct.len() >= 50);
        assert!(PROMPTS.iter().all(|prompt| crate::domain::prompt::Prompt::from_ask(prompt).ask == *prompt));
    }
}
