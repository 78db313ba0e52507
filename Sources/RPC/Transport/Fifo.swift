/// A queue: appends and removals from the front cost constant time on average. A single element needs no storage of its own.
struct Fifo<Element> {
    private var front: Element?
    private var rest: [Element?] = []
    private var head = 0

    var count: Int { (front == nil ? 0 : 1) + rest.count - head }
    var isEmpty: Bool { front == nil }
    var first: Element? { front }

    mutating func append(_ element: Element) {
        if front == nil { front = element } else { rest.append(element) }
    }

    mutating func removeFirst() -> Element? {
        guard let element = front else { return nil }
        front = nil
        guard head < rest.count else { return element }
        swap(&front, &rest[head])
        head += 1
        if head == rest.count {
            rest.removeAll(keepingCapacity: rest.count <= 64)
            head = 0
        } else if head >= 64, head * 2 >= rest.count {
            rest.removeFirst(head)
            head = 0
        }
        return element
    }

    /// Combines all elements, from the front.
    func reduce<Result>(_ initial: Result, _ combine: (Result, Element) -> Result) -> Result {
        var result = initial
        if let front { result = combine(result, front) }
        for case let element? in rest[head...] { result = combine(result, element) }
        return result
    }

    /// Replaces the last `count` elements, or all when there are fewer.
    mutating func updateLast(_ count: Int, _ change: (inout Element) -> Void) {
        let first = max(head, rest.count - count)
        for index in first..<max(first, rest.count) {
            guard var element = rest[index] else { continue }
            rest[index] = nil
            change(&element)
            rest[index] = element
        }
        if count > rest.count - head { updateFirst(change) }
    }

    /// Replaces every element by what `change` makes of it, and leaves out those of which it makes nothing.
    mutating func replaceAll(_ change: (Element) -> Element?) {
        var changed = Fifo()
        while let element = removeFirst() {
            if let element = change(element) { changed.append(element) }
        }
        self = changed
    }

    /// Replaces the element at the front.
    mutating func updateFirst(_ change: (inout Element) -> Void) {
        guard var element = front else { return }
        front = nil
        change(&element)
        front = element
    }
}

extension Fifo: Sendable where Element: Sendable {}
