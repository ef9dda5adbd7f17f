//! What only an administrator asks for: settings, more partitions, records deleted.

use rdkafka::Offset;
use rdkafka::admin::{AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};

use crate::kit::{Outcome, PARTITIONS, same, until};
use crate::{Program, REQUEST_TIME_MAX, options, places};

async fn described(
    program: &Program,
    resource: ResourceSpecifier<'_>,
    name: &str,
) -> Outcome<Option<String>> {
    let outcomes = program.admin.describe_configs([&resource], &options()).await?;
    let described = outcomes.into_iter().next().ok_or("no outcome")??;
    let entry = described.get(name).ok_or_else(|| format!("{name} is not described"))?;
    Ok(entry.value.clone())
}

pub(crate) async fn configs(program: &Program) -> Outcome {
    let name = program.kit.name("configs");
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("retention.ms", "3600000");
    for created in program.admin.create_topics([&topic], &options()).await? {
        created.map_err(|(name, code)| format!("{name} is not created: {code}"))?;
    }
    let resource = ResourceSpecifier::Topic(&name);
    let value = described(program, resource, "retention.ms").await?;
    same("retention.ms", &value.as_deref(), &Some("3600000"))?;
    for name in ["cleanup.policy", "max.message.bytes", "segment.bytes", "message.timestamp.type"] {
        described(program, resource, name).await?;
    }
    let change = AlterConfig::new(resource).set("retention.ms", "7200000");
    for altered in program.admin.alter_configs([&change], &options()).await? {
        altered.map_err(|(_, code)| format!("the topic is not altered: {code}"))?;
    }
    until("the altered retention.ms is described", async || {
        Ok(described(program, resource, "retention.ms").await?.as_deref() == Some("7200000"))
    })
    .await?;
    let brokers = program.admin.inner().fetch_metadata(None, REQUEST_TIME_MAX)?;
    let broker = brokers.brokers().first().ok_or("no brokers")?.id();
    let outcomes = program.admin.describe_configs([&ResourceSpecifier::Broker(broker)], &options()).await?;
    let described = outcomes.into_iter().next().ok_or("no outcome")??;
    same("a broker without configs", &described.entries.is_empty(), &false)
}

pub(crate) async fn partitions_added(program: &Program) -> Outcome {
    let topic = program.create("more", 1).await?;
    let more = NewPartitions::new(&topic, PARTITIONS as usize);
    for added in program.admin.create_partitions([&more], &options()).await? {
        added.map_err(|(_, code)| format!("no partitions are added: {code}"))?;
    }
    until("four partitions", async || {
        let metadata = program.admin.inner().fetch_metadata(Some(&topic), REQUEST_TIME_MAX)?;
        Ok(metadata.topics()[0].partitions().len() == PARTITIONS as usize)
    })
    .await?;
    program.until_led(&topic, PARTITIONS).await?;
    program.send(&topic, &program.kit.records(), &[]).await?;
    program.verify(&topic, Offset::Beginning, 0, &[]).await
}

pub(crate) async fn records_deleted(program: &Program) -> Outcome {
    let topic = program.create_full("cut").await?;
    let cut = places(&topic, PARTITIONS, Offset::Offset(100))?;
    let found = program.admin.delete_records(&cut, &options()).await?;
    let starts: Vec<Offset> = found.elements().iter().map(|place| place.offset()).collect();
    same("the low watermarks", &starts, &vec![Offset::Offset(100); PARTITIONS as usize])?;
    program.verify(&topic, Offset::Beginning, 100, &[]).await
}
