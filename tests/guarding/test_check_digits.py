"""Check digits against numbers that their issuers published."""

import pytest

from hapenny.guarding import check_digits


@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005", "6011000990139424", "3530111333300000"])
def test_cards(number):
    assert check_digits.luhn(number)
    assert not check_digits.luhn(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize("account", ["GB29NWBK60161331926819", "DE89370400440532013000", "NO9386011117947"])
def test_accounts(account):
    assert check_digits.iban(account)
    assert not check_digits.iban(account[:-1] + "7" if account[-1] != "7" else account[:-1] + "8")
    assert not check_digits.iban(account[:-2])


def test_my_number_as_its_ordinance_computes_it():
    # 12345678901: 1*6+2*5+3*4+4*3+5*2+6*7+7*6+8*5+9*4+0*3+1*2 = 212, 212 mod 11 = 3, 11 - 3 = 8
    assert check_digits.my_number("123456789018")
    assert not check_digits.my_number("123456789012")
    assert not check_digits.my_number("12345678901")
