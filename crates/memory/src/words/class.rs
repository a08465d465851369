use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// Whether a word, or a symbol that is one, can begin with this character.
pub(super) fn begins_word(char: char) -> bool {
    matches!(class(char), Class::Letter | Class::Unspaced | Class::Symbol)
}

/// What a character does in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A letter, a mark or a digit.
    Letter,
    /// A letter or a mark of a script without spaces between words.
    Unspaced,
    /// A mark of any script.
    Mark,
    /// A symbol that means something of its own, such as an emoji.
    Symbol,
    /// Another symbol, such as `=`.
    Sign,
    /// A character without a width, such as a soft hyphen.
    Invisible,
    /// Anything else, such as a space or a comma.
    Separator,
}

/// The class of a character.
pub(super) fn class(char: char) -> Class {
    if char.is_ascii() {
        return match char {
            '0'..='9' | 'A'..='Z' | 'a'..='z' => Class::Letter,
            '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => Class::Sign,
            _ => Class::Separator,
        };
    }
    // The selectors of variants are marks.
    if matches!(char, '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}') {
        return Class::Invisible;
    }
    let category = char.general_category();
    match char.general_category_group() {
        GeneralCategoryGroup::Mark if matches!(char.script(), Script::Inherited | Script::Common) => Class::Mark,
        GeneralCategoryGroup::Number if category == GeneralCategory::DecimalNumber => Class::Letter,
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark | GeneralCategoryGroup::Number => {
            if is_unspaced(char) { Class::Unspaced } else { Class::Letter }
        }
        GeneralCategoryGroup::Symbol if category == GeneralCategory::OtherSymbol => Class::Symbol,
        GeneralCategoryGroup::Symbol => Class::Sign,
        // Newer emoji than this program knows, and icons of fonts.
        GeneralCategoryGroup::Other
            if matches!(category, GeneralCategory::Unassigned | GeneralCategory::PrivateUse) =>
        {
            Class::Symbol
        }
        GeneralCategoryGroup::Other if category == GeneralCategory::Format => Class::Invisible,
        GeneralCategoryGroup::Other | GeneralCategoryGroup::Punctuation | GeneralCategoryGroup::Separator => {
            Class::Separator
        }
    }
}

/// Whether the character's script has no spaces between words. Korean has, but appends particles to its words.
fn is_unspaced(char: char) -> bool {
    const SCRIPTS: [Script; 13] = [
        Script::Han,
        Script::Hiragana,
        Script::Katakana,
        Script::Bopomofo,
        Script::Hangul,
        Script::Yi,
        Script::Thai,
        Script::Lao,
        Script::Khmer,
        Script::Myanmar,
        Script::New_Tai_Lue,
        Script::Tai_Tham,
        Script::Tai_Viet,
    ];
    // The prolonged sound mark belongs to two of them. The modifier apostrophe belongs to one of them, but also to Latin.
    let scripts = char.script_extension();
    !scripts.is_common() && !scripts.is_inherited() && scripts.iter().all(|script| SCRIPTS.contains(&script))
}
