//! What kind of work a prompt asks for.

use serde::{Deserialize, Serialize};

macro_rules! tasks {
    ($($variant:ident => $name:literal, $words:literal;)*) => {
        /// The eleven task types of NVIDIA's prompt task and complexity classifier, plus mathematics,
        /// translation and reasoning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Task {
            $(
                #[doc = $words]
                $variant,
            )*
        }

        impl Task {
            /// Every task, in the order of the task head's outputs.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in JSON, files and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The name as it reads in a sentence.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }
        }
    };
}

tasks! {
    OpenQa => "open_qa", "open question";
    ClosedQa => "closed_qa", "closed question";
    Summarization => "summarization", "summarization";
    TextGeneration => "text_generation", "text generation";
    CodeGeneration => "code_generation", "code generation";
    Chatbot => "chatbot", "conversation";
    Classification => "classification", "classification";
    Rewrite => "rewrite", "rewriting";
    Brainstorming => "brainstorming", "brainstorming";
    Extraction => "extraction", "extraction";
    Other => "other", "other work";
    Mathematics => "mathematics", "mathematics";
    Translation => "translation", "translation";
    Reasoning => "reasoning", "reasoning";
}

impl Task {
    /// Reads the name that [`Task::as_str`] writes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|task| task.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for &task in Task::ALL {
            assert_eq!(Task::parse(task.as_str()), Some(task));
        }
    }
}
