"""Seeding and auditing an estimator with the provider's own counting endpoint (Bedrock CountTokens, Anthropic
count_tokens): free calls that teach a new model's tokenizer before the first paid request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from hapenny.counting.estimator import Estimator

CountEndpoint = Callable[[str], Awaitable[int]]

PROBES: tuple[str, ...] = (
    "The delivery arrives on Tuesday between nine and eleven in the morning, unless the warehouse runs late again.",
    "Customers may return unopened articles within thirty days; refunds go to the original payment method.",
    "Incomprehensible bureaucratic terminology notwithstanding, the refrigeration unit's specifications were adequate.",
    '{"order_id": "A-10293", "status": "shipped", "items": [{"sku": "MX-77", "quantity": 2, "price": 19.99}]}',
    '[{"id": 1, "name": "Anna", "active": true}, {"id": 2, "name": "Ben", "active": false}, {"id": 3, "name": null}]',
    '{"type": "object", "properties": {"city": {"type": "string", "description": "Name of the city"}}}',
    "Đơn hàng của bạn đã được gửi đi và sẽ đến trong vòng hai đến ba ngày làm việc, xin vui lòng chờ.",
    "Chúng tôi rất tiếc vì sự chậm trễ này và sẽ hoàn lại phí vận chuyển cho quý khách.",
    "ご注文の商品は明日の午前中に発送されます。到着までしばらくお待ちください。",
    "返品は購入日から三十日以内に限り、未開封の商品のみ受け付けております。",
    "您的订单已经发货，预计两到三个工作日内送达，请耐心等待。",
    "Die Rücksendung ist innerhalb von dreißig Tagen möglich; die Überprüfung dauert höchstens fünf Werktage.",
    "def total(prices: list[float]) -> float:\n    return sum(price for price in prices if price > 0)\n",
    "2024-05-15 15:00:00, 3.14159, 1,204,331 units, +44 20 7946 0958, 10.0.12.255:8080, 0x7f3a9c",
    "https://shop.example.com/products/blue-ceramic-mug?ref=search&color=blue#reviews",
    "USER: where is my parcel??\nASSISTANT: Let me check. Could you tell me the order number?\nUSER: it's #55120",
    "- one\n- two\n- three\n\n## Heading\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "Заказ отправлен и прибудет в течение двух рабочих дней. Спасибо за покупку!",
    "تم شحن طلبك وسيصل خلال يومي عمل. شكرا لتسوقك معنا.",
    "주문하신 상품이 발송되었으며 이틀 안에 도착할 예정입니다. 감사합니다.",
)


async def seed(estimator: Estimator, endpoint: CountEndpoint, probes: Sequence[str] = PROBES) -> float:
    """Teach the estimator each probe twice over; returns the mean relative error of its first guesses.

    `endpoint` returns the provider's count of one user message with that text.
    """
    counted = [(estimator.cache.request((probe,)), await endpoint(probe)) for probe in probes]
    errors = [abs(estimator.learn(vector, tokens)) for vector, tokens in counted]
    for vector, tokens in counted:
        estimator.learn(vector, tokens)
    return sum(errors) / max(1, len(errors))


async def audit(estimator: Estimator, endpoint: CountEndpoint, texts: Sequence[str]) -> list[float]:
    """Relative errors of the estimator against the endpoint, without learning."""
    errors = []
    for text in texts:
        counted = await endpoint(text)
        errors.append(estimator.count(text).tokens / max(1, counted) - 1.0)
    return errors
