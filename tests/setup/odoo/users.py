# Fed to `odoo shell`: the people of the tests, with an API key each, written to $KEYS_OUT. Over the API, Odoo 19 makes keys
# only after asking for a password, and those of ordinary users live 90 days, which a cached database may outlive; so the
# keys are made here, without an end.
import json, os

PEOPLE = {
    # As deploy/odoo/README.md tells to make it.
    'steward': ['base.group_user', 'stock.group_stock_user', 'purchase.group_purchase_user'],
    # Whoever counts stock and edits transfers.
    'clerk': ['base.group_user', 'stock.group_stock_manager', 'purchase.group_purchase_user'],
}

Users = env['res.users'].with_context(no_reset_password=True)
for login, groups in PEOPLE.items():
    Users.create({'name': login.title(), 'login': login, 'email': f'{login}@shop.example',
                  'group_ids': [(6, 0, [env.ref(group).id for group in groups])]})
keys = {}
for login in ['admin', *PEOPLE]:
    user = Users.search([('login', '=', login)])
    keys[login] = env['res.users.apikeys'].with_user(user).sudo()._generate(None, 'testkit', None)
env.cr.commit()
with open(os.environ['KEYS_OUT'], 'w') as out:
    json.dump(keys, out, indent=1)
