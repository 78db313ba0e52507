internal import Search

/// Words that project documents use for one another. Stemming joins `approved` and `approves`; this joins `retention`
/// and `kept`.
///
/// Each line is one class. Only words that can stand for each other in most sentences, and whose stems no other word
/// shares (`authorize` has the stem of `author`): a class that is too wide makes the answerer take a sentence on one
/// thing for an answer about another.
enum Equivalents {
    /// Terms that may stand for `term`, without itself; empty for most.
    static func of(_ term: String) -> Set<String> {
        guard let numbers = classOf[term] else { return [] }
        var all: Set<String> = []
        for number in numbers { all.formUnion(classes[number]) }
        all.remove(term)
        return all
    }

    private static let classes: [Set<String>] = lines.split(separator: "\n").map { line in
        Set(Analyzer().tokens(of: String(line)).map(\.term))
    }

    private static let classOf: [String: [Int]] = {
        var classOf: [String: [Int]] = [:]
        for (number, terms) in classes.enumerated() {
            for term in terms { classOf[term, default: []].append(number) }
        }
        return classOf
    }()

    private static let lines = """
        retain retention retained keep kept keeps store stored storage preserve preserved
        delete deletion remove removed removal erase erased erasure purge purged
        approve approval approved authorise authorised
        decide decided decision agree agreed agreement chose chosen choose selected select selection
        start begin began begun starts begins commence kickoff
        end finish finished ends complete completed completion
        launch launched release released live
        deadline due
        cost costs price priced fee fees
        owner owns own owned responsible responsibility
        limit maximum max cap most exceed
        minimum min least
        fail failure failed outage failing
        buy purchase purchased bought acquire acquired
        send sent transmit transmitted deliver delivered delivery
        show display displayed shown
        allow permit permitted allowed permission
        require requirement must need needed needs mandatory required shall
        forbid forbidden prohibit prohibited disallowed
        authenticate authentication login
        vendor supplier
        employee staff
        create generate generated created generation
        replace replaced replacement substitute
        happen occur occurred happened
        write wrote written
        build built construct constructed construction
        located location situated lies
        name named called
        found founded establish established foundation
        attend attended attendee attendees participant participants present
        die died death
        born birth
        win won winner winning
        lose lost defeat defeated
        big large largest biggest
        small smallest
        fast quick quickly response
        often frequency frequently every daily weekly monthly hourly
        responsetime latency
        """
}
