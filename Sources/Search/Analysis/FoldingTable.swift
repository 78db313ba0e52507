/// Folded forms of letters with diacritics, of ligatures and of compatibility letters: lower case, base letters only.
///
/// Source: Unicode 15 character database, NFKD and lower case without the marks U+0300–U+036F; letters without a decomposition
/// (æ ð ø ł þ ß ı …) by common transliteration. `-` stands for "not a letter": such scalars are not part of words.
enum FoldingTable {
    /// The first scalar of each range and the folded forms from there on, separated by white space.
    static let ranges: [(first: UInt32, forms: StaticString)] = [
        // Latin-1 letters, Latin Extended-A and -B
        (
            0x00C0,
            """
            a a a a a a ae c e e e e i i i i d n o o o o o - o u u u u y th ss
            a a a a a a ae c e e e e i i i i d n o o o o o - o u u u u y th y
            a a a a a a c c c c c c c c d d d d e e e e e e e e e e g g g g
            g g g g h h h h i i i i i i i i i i ij ij j j k k k l l l l l l l
            l l l n n n n n n ʼn n n o o o o o o oe oe r r r r r r s s s s s s
            s s t t t t t t u u u u u u u u u u u u w w y y y z z z z z z s
            b b ƃ ƃ ƅ ƅ ɔ ƈ ƈ d d ƌ ƌ ƍ e e e f f ɠ ɣ ƕ ɩ i ƙ ƙ ƚ ƛ ɯ ɲ ƞ ɵ
            o o ƣ ƣ ƥ ƥ ʀ ƨ ƨ ʃ ƪ ƫ ƭ ƭ ʈ u u ʊ ʋ y y z z ʒ ƹ ƹ ƺ ƻ ƽ ƽ ƾ ƿ
            ǀ ǁ ǂ ǃ dz dz dz lj lj lj nj nj nj a a i i o o u u u u u u u u u u e a a
            a a ae ae g g g g k k o o o o ʒ ʒ j dz dz dz g g ƕ ƿ n n a a ae ae o o
            a a a a e e e e i i i i o o o o r r r r u u u u s s t t ȝ ȝ h h
            ƞ ȡ ȣ ȣ ȥ ȥ a a e e o o o o o o o o y y ȴ ȵ ȶ ȷ ȸ ȹ ⱥ ȼ ȼ ƚ ⱦ ȿ
            ɀ ɂ ɂ b ʉ ʌ ɇ ɇ ɉ ɉ ɋ ɋ ɍ ɍ ɏ ɏ
            """
        ),
        // Greek
        (
            0x0370,
            """
            ͱ ͱ ͳ ͳ ʹ - ͷ ͷ - - - ͻ ͼ ͽ - ϳ - - - - - - α - ε η ι - ο - υ ω
            ι α β γ δ ε ζ η θ ι κ λ μ ν ξ ο π ρ - σ τ υ φ χ ψ ω ι υ α ε η ι
            υ α β γ δ ε ζ η θ ι κ λ μ ν ξ ο π ρ σ σ τ υ φ χ ψ ω ι υ ο υ ω ϗ
            β θ υ υ υ φ π ϗ ϙ ϙ ϛ ϛ ϝ ϝ ϟ ϟ ϡ ϡ ϣ ϣ ϥ ϥ ϧ ϧ ϩ ϩ ϫ ϫ ϭ ϭ ϯ ϯ
            κ ρ σ ϳ θ ε - ϸ ϸ σ ϻ ϻ ϼ ͻ ͼ ͽ
            """
        ),
        // Latin Extended Additional
        (
            0x1E00,
            """
            a a b b b b b b c c d d d d d d d d d d e e e e e e e e e e f f
            g g h h h h h h h h h h i i i i k k k k k k l l l l l l l l m m
            m m m m n n n n n n n n o o o o o o o o p p p p r r r r r r r r
            s s s s s s s s s s t t t t t t t t u u u u u u u u u u v v v v
            w w w w w w w w w w x x x x y y z z z z z z h t w y aʾ s ẜ ẝ ss ẟ
            a a a a a a a a a a a a a a a a a a a a a a a a e e e e e e e e
            e e e e e e e e i i i i o o o o o o o o o o o o o o o o o o o o
            o o o o u u u u u u u u u u u u u u y y y y y y y y ỻ ỻ ỽ ỽ ỿ ỿ
            """
        ),
        // Greek Extended
        (
            0x1F00,
            """
            α α α α α α α α α α α α α α α α ε ε ε ε ε ε - - ε ε ε ε ε ε - -
            η η η η η η η η η η η η η η η η ι ι ι ι ι ι ι ι ι ι ι ι ι ι ι ι
            ο ο ο ο ο ο - - ο ο ο ο ο ο - - υ υ υ υ υ υ υ υ - υ - υ - υ - υ
            ω ω ω ω ω ω ω ω ω ω ω ω ω ω ω ω α α ε ε η η ι ι ο ο υ υ ω ω - -
            α α α α α α α α α α α α α α α α η η η η η η η η η η η η η η η η
            ω ω ω ω ω ω ω ω ω ω ω ω ω ω ω ω α α α α α - α α α α α α α - ι -
            - - η η η - η η ε ε η η η - - - ι ι ι ι - - ι ι ι ι ι ι - - - -
            υ υ υ υ ρ ρ υ υ υ υ υ υ ρ - - - - - ω ω ω - ω ω ο ο ω ω ω - - -
            """
        ),
        // Latin ligatures
        (
            0xFB00,
            """
            ff fi fl ffi ffl st st
            """
        ),
    ]
}
